//! DynamoDB Local and moto. They start with the first test that needs them, and end with this process.
//!
//! A missing server fails the test that needs it. No test is skipped.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use okta_anypoint::aws::{Limits, loader};

const START: Duration = Duration::from_secs(60);

/// A client of DynamoDB Local.
pub async fn dynamodb() -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&config(dynamodb_url()).await)
}

/// A DynamoDB client, and a new table for the caller.
pub async fn table() -> (aws_sdk_dynamodb::Client, String) {
    let client = dynamodb().await;
    let name = format!("t-{}", uuid::Uuid::new_v4());
    let key = "pk";
    let created = client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(
            AttributeDefinition::builder()
                .attribute_name(key)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .unwrap(),
        )
        .key_schema(
            KeySchemaElement::builder()
                .attribute_name(key)
                .key_type(KeyType::Hash)
                .build()
                .unwrap(),
        )
        .send()
        .await;
    if let Err(error) = created {
        // The name is unique, so the SDK has repeated the call because the answer took long.
        let error = error.into_service_error();
        assert!(error.is_resource_in_use_exception(), "{error:?}");
    }
    (client, name)
}

/// An SQS client.
pub async fn sqs() -> aws_sdk_sqs::Client {
    let config = config(moto_url()).await.into_builder();
    // moto knows only real regions.
    aws_sdk_sqs::Client::new(&config.region(Region::new("us-east-1")).build())
}

/// The product's AWS configuration, pointed at a server.
pub async fn config(url: &str) -> SdkConfig {
    config_within(url, Duration::from_secs(20)).await
}

/// The same with a deadline for each call.
pub async fn config_within(url: &str, deadline: Duration) -> SdkConfig {
    loader(Limits::within(deadline))
        // The SDK stops retrying after many recent failures. It has one budget for each region and process, so a test of
        // failures gets its own region.
        .region(Region::new(format!("test-{}", uuid::Uuid::new_v4())))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url)
        .load()
        .await
}

/// The address of DynamoDB Local.
pub fn dynamodb_url() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = installed("DYNAMODB_LOCAL_DIR", "dynamodb-local");
        let jar = folder.join("DynamoDBLocal.jar");
        demand(&jar, "DYNAMODB_LOCAL_DIR");
        let library = format!(
            "-Djava.library.path={}",
            folder.join("DynamoDBLocal_lib").display()
        );
        start("dynamodb-local", |port| {
            let jar = jar.to_str().unwrap();
            [
                "java",
                "-Xmx512m",
                &library,
                "-jar",
                jar,
                "-inMemory",
                "-sharedDb",
                "-port",
                port,
            ]
            .map(str::to_owned)
            .to_vec()
        })
    })
}

/// The address of moto.
pub fn moto_url() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        let program = installed("MOTO_SERVER", "venv/bin/moto_server");
        demand(&program, "MOTO_SERVER");
        start("moto", |port| {
            let program = program.to_str().unwrap();
            [program, "-H", "127.0.0.1", "-p", port]
                .map(str::to_owned)
                .to_vec()
        })
    })
}

fn installed(variable: &str, path: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(".tools")
                .join(path)
        },
        PathBuf::from,
    )
}

fn demand(path: &Path, variable: &str) {
    assert!(
        path.exists(),
        "{} is missing: run tools/setup, or set {variable}",
        path.display()
    );
}

/// Starts a server on a free port and waits until it listens. If another process takes the port first, it tries the
/// next one.
fn start(name: &str, command: impl Fn(&str) -> Vec<String>) -> String {
    let log =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}.log", std::process::id()));
    for _ in 0..3 {
        let port = free_port();
        let mut guard = guarded(&command(&port.to_string()), &log);
        let begun = Instant::now();
        while begun.elapsed() < START {
            if guard.try_wait().unwrap().is_some() {
                break;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                // Its standard input stays open until this process ends, however it ends.
                std::mem::forget(guard);
                return format!("http://127.0.0.1:{port}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        drop(guard.stdin.take());
        guard.wait().unwrap();
    }
    panic!(
        "{name} does not start; its output: {}",
        std::fs::read_to_string(&log).unwrap_or_default()
    );
}

/// Runs `command` under a shell that kills it when the shell's standard input closes. The kernel closes it when this
/// process ends, even after kill -9.
fn guarded(command: &[String], log: &Path) -> Child {
    const WATCH: &str = r#"
        exec 3<&0
        "$@" </dev/null 3<&- &
        server=$!
        (cat <&3 >/dev/null; kill -9 "$server" 2>/dev/null) &
        exec 3<&-
        wait "$server"
    "#;
    let output = File::create(log).unwrap();
    Command::new("sh")
        .args(["-c", WATCH, "sh"])
        .args(command)
        .stdin(Stdio::piped())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .expect("sh can be started")
}

/// A free port below the range of the kernel. A process that asks for "any port" meanwhile does not get it, so the test
/// cannot mistake it for the server.
fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(10_000..32_000))
        .find(is_free)
        .unwrap()
}
