//! A company's network: all calls go through its proxy, which decrypts TLS and signs with the company's own root.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::cli::Desk;
use crate::queued::Scene;
use crate::servers;

const CERTIFICATE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/data/test-only-localhost.cert.pem"
);
const KEY: &[u8] = include_bytes!("data/test-only-p256.pkcs8.pem");

/// The address of `server`, whose URL is given, behind TLS. The certificate is the company's.
async fn behind_tls(server: &str) -> String {
    let server = url::Url::parse(server).unwrap();
    let target: SocketAddr = server.socket_addrs(|| None).unwrap()[0];
    let certificate = CertificateDer::from_pem_file(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inside = acceptor.accept(stream).await.ok()?;
                let mut outside = TcpStream::connect(target).await.ok()?;
                copy_bidirectional(&mut inside, &mut outside).await.ok()
            });
        }
    });
    format!("https://localhost:{port}")
}

/// A proxy that asks for a password and records where it was asked to connect.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notes = Arc::clone(&notes);
                tokio::spawn(async move { tunnel(stream, &notes).await });
            }
        });
        Self {
            url: format!("http://operator:planted-password@127.0.0.1:{port}"),
            asked,
        }
    }

    /// Returns where it was asked to connect, and clears that list.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked.dedup();
        asked
    }
}

async fn tunnel(stream: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut client = BufReader::new(stream);
    let (mut head, mut line) = (Vec::new(), String::new());
    while client.read_line(&mut line).await.ok()? > 0 && line != "\r\n" {
        head.push(std::mem::take(&mut line));
    }
    let target = head
        .first()?
        .strip_prefix("CONNECT ")?
        .split(' ')
        .next()?
        .to_owned();
    // operator:planted-password
    let credentials = "Basic b3BlcmF0b3I6cGxhbnRlZC1wYXNzd29yZA==";
    let known = |line: &String| {
        let line = line.to_ascii_lowercase();
        line.starts_with("proxy-authorization:") && line.contains(&credentials.to_ascii_lowercase())
    };
    if !head.iter().any(known) {
        client
            .write_all(b"HTTP/1.1 407 Who are you\r\n\r\n")
            .await
            .ok()?;
        return None;
    }
    asked.lock().unwrap().push(target.clone());
    let mut outside = TcpStream::connect(target).await.ok()?;
    client
        .write_all(b"HTTP/1.1 200 Here you are\r\n\r\n")
        .await
        .ok()?;
    copy_bidirectional(&mut client, &mut outside).await.ok()?;
    None
}

fn host(url: &str) -> String {
    url.trim_start_matches("https://").to_owned()
}

/// What the doctor found, by group and check.
fn found(result: &Value, group: &str, check: &str) -> String {
    let checks = result["checks"].as_array().unwrap();
    let one = checks
        .iter()
        .find(|found| found["group"] == group && found["check"] == check);
    let one = one.unwrap_or_else(|| panic!("{group}/{check} is missing: {result:#}"));
    format!(
        "{}: {}",
        one["state"].as_str().unwrap(),
        one["found"].as_str().unwrap()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_doctor_use_the_proxy_and_the_company_root() {
    let desk = Desk::new().await;
    let okta = behind_tls(desk.okta.base_url()).await;
    let anypoint = behind_tls(desk.anypoint.base_url()).await;
    let proxy = Proxy::start().await;
    let file = desk.data.to_str().unwrap();
    let doctor = ["doctor", "--json", "--data", file];
    let sides = [
        ("OKTA_ORG_URL", okta.as_str()),
        ("ANYPOINT_BASE_URL", anypoint.as_str()),
    ];

    let network = [
        ("HTTPS_PROXY", proxy.url.as_str()),
        ("SSL_CERT_FILE", CERTIFICATE),
    ];
    let ran = desk
        .run_with(&[&sides[..], &network].concat(), &doctor)
        .await;
    assert!(!ran.out.contains("planted-password") && !ran.err.contains("planted-password"));
    let result = ran.json();
    assert!(found(&result, "network", "way to Okta").contains("ok: through the proxy 127.0.0.1:"));
    assert!(found(&result, "network", "trusted roots").contains("1 of "));
    assert_eq!(
        found(&result, "Okta", "credentials"),
        "ok: Okta accepts them"
    );
    assert!(found(&result, "Anypoint", "organization").starts_with("ok"));
    let mut both = [host(&okta), host(&anypoint)];
    both.sort();
    assert_eq!(proxy.asked(), both);

    // An excepted host is called directly.
    let except = [("NO_PROXY", "localhost")];
    let ran = desk
        .run_with(&[&sides[..], &network, &except].concat(), &doctor)
        .await;
    let result = ran.json();
    assert_eq!(found(&result, "network", "way to Okta"), "ok: direct");
    assert_eq!(
        found(&result, "Okta", "credentials"),
        "ok: Okta accepts them"
    );
    assert_eq!(proxy.asked(), Vec::<String>::new());

    // Without the company's root the program trusts nothing, and says what is wrong.
    let ran = desk.run_with(&sides, &doctor).await;
    let result = ran.json();
    assert_eq!(
        found(&result, "network", "trusted roots"),
        "ok: the built-in ones"
    );
    assert!(found(&result, "Okta", "credentials").contains("certificate is not trusted"));

    // A malformed variable stops every command. The message names it and never shows the value.
    let broken = [
        ("HTTPS_PROXY", "socks5://user:planted-password@proxy:1"),
        ("SSL_CERT_FILE", "/nowhere.pem"),
    ];
    for (name, value) in broken {
        let ran = desk
            .run_with(&[(name, value)], &["plan", "--data", file])
            .await
            .expect(2);
        assert!(
            ran.err.contains(name) && !ran.err.contains("planted-password"),
            "{}",
            ran.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_uses_the_proxy_for_both_sides_and_aws() {
    let scene = Scene::new().await;
    let okta = behind_tls(scene.okta.base_url()).await;
    let anypoint = behind_tls(scene.anypoint.base_url()).await;
    let dynamodb = behind_tls(servers::dynamodb_url()).await;
    let proxy = Proxy::start().await;
    let hook = scene
        .inline_hook_with(&[
            ("OKTA_ORG_URL", okta.clone()),
            ("ANYPOINT_BASE_URL", anypoint.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.clone()),
            ("HTTPS_PROXY", proxy.url.clone()),
            ("SSL_CERT_FILE", CERTIFICATE.to_owned()),
        ])
        .await;
    let (user, event) = scene.assigned("grace_hopper");
    assert_eq!(
        scene.deliver(&hook, &[event]).await,
        204,
        "{}",
        hook.output()
    );
    assert!(scene.link(&user).await.is_some());
    let mut all = [host(&okta), host(&anypoint), host(&dynamodb)];
    all.sort();
    assert_eq!(proxy.asked(), all);
    assert!(!hook.output().contains("planted-password"));
}
