//! Whatever Okta and Anypoint may answer, through the real clients: a server on loopback sends the
//! status, headers and body that the input spells.
//!
//! The first byte chooses the call, the second the status. Then lines `name: value`, an empty line, and
//! the body.
#![no_main]

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use okta_anypoint::anypoint::Anypoint;
use okta_anypoint::clock::{Clock, SystemClock};
use okta_anypoint::deadline::Deadline;
use okta_anypoint::http::{CallError, HttpClient};
use okta_anypoint::ids::{AccountId, OktaAppId, OktaGroupId, OktaUserId, OrganizationId, TeamId};
use okta_anypoint::okta::{Credentials, Okta};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use url::Url;

/// What the input must not bring into an error: it stands for a name in a body.
const PLANTED: &str = "planted-name";
const STATUSES: [&str; 8] = [
    "200 OK",
    "200 OK",
    "201 Created",
    "204 No Content",
    "400 Bad Request",
    "404 Not Found",
    "409 Conflict",
    "302 Found",
];
/// Long for an answer on loopback, short for a fuzzer.
const TIME: Duration = Duration::from_millis(80);

static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Remotes {
    runtime: Runtime,
    okta: Okta,
    anypoint: Anypoint,
}

static REMOTES: LazyLock<Remotes> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let base = Url::parse(&format!("http://{address}")).expect("a URL");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = HttpClient::new(clock).expect("a client");
    let token = Credentials::ApiToken("planted-token".to_owned().into());
    let (client, secret) = ("client".to_owned(), "planted-secret".to_owned().into());
    let organization = OrganizationId::parse("0a0e51b0-0000-4000-8000-0000000000aa").expect("an id");
    Remotes {
        okta: Okta::new(http.clone(), base.clone(), token),
        anypoint: Anypoint::new(http, base, organization, client, secret),
        runtime,
    }
});

/// Answers every request with what the input spells; a token is always given.
async fn serve(mut stream: tokio::net::TcpStream) {
    let mut seen = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let head = loop {
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => seen.extend_from_slice(&chunk[..count]),
            }
        };
        let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0);
        while seen.len() < head + length {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => seen.extend_from_slice(&chunk[..count]),
            }
        }
        let is_token = text.starts_with("post /accounts/api/v2/oauth2/token");
        seen.drain(..head + length);
        let answer = if is_token {
            let token = br#"{"access_token":"t","expires_in":3600}"#;
            spell("200 OK", "", token)
        } else {
            ANSWER.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn spell(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let framing = ["content-length", "transfer-encoding", "connection", "upgrade"];
    let headers: String = headers
        .lines()
        .filter(|line| {
            let name = line.split(':').next().unwrap_or_default().trim();
            !framing.contains(&name.to_lowercase().as_str())
        })
        .map(|line| format!("{line}\r\n"))
        .collect();
    let length = body.len();
    let mut answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n").into_bytes();
    answer.extend_from_slice(body);
    answer
}

async fn call(remotes: &Remotes, which: u8) -> Result<(), CallError> {
    let Remotes { okta, anypoint, .. } = remotes;
    let deadline = Deadline::within(TIME);
    let user = OktaUserId::parse("00uADA0000000001").expect("an id");
    let group = OktaGroupId::parse("00gINTEGRATORS1").expect("an id");
    let app = OktaAppId::parse("0oaANYPOINT1demo").expect("an id");
    let account = AccountId::parse("0b0e51b0-0000-4000-8000-000000000001").expect("an id");
    let team = TeamId::parse("0b0e51b0-0000-4000-8000-000000000002").expect("an id");
    match which % 13 {
        0 => okta.user(&user, deadline).await.map(drop),
        1 => okta.app_user(&app, &user, deadline).await.map(drop),
        2 => okta.list_app_users(&app, &[], deadline).await.map(drop),
        3 => okta.list_groups_of_user(&user, deadline).await.map(drop),
        4 => okta.group(&group, deadline).await.map(drop),
        5 => okta.list_group_members(&group, deadline).await.map(drop),
        6 => okta.list_app_groups(&app, deadline).await.map(drop),
        7 => okta.users_with_email("a@acme.example", deadline).await.map(drop),
        8 => anypoint.account(&account, deadline).await.map(drop),
        9 => anypoint.list_accounts(deadline).await.map(drop),
        10 => anypoint.list_teams(deadline).await.map(drop),
        11 => anypoint.list_members(&team, deadline).await.map(drop),
        _ => anypoint.list_teams_of_account(&account, deadline).await.map(drop),
    }
}

fuzz_target!(|input: &[u8]| {
    let [which, status, rest @ ..] = input else {
        return;
    };
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let end = rest.windows(2).position(|two| two == b"\n\n");
    let (headers, body) = match end {
        Some(end) => (&rest[..end], &rest[end + 2..]),
        None => (&[][..], rest),
    };
    let headers = String::from_utf8_lossy(headers).into_owned();
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = spell(status, &headers, body);
    let remotes = &*REMOTES;
    let outcome = remotes.runtime.block_on(call(remotes, *which));
    if let Err(error) = outcome {
        let said = format!("{error} {error:?}");
        assert!(!said.contains(PLANTED), "{said}");
        assert!(!said.contains("planted-token") && !said.contains("planted-secret"));
    }
});
