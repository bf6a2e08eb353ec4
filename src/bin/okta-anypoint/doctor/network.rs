//! Which way calls go, and whose certificates are trusted.

use okta_anypoint::http::Network;
use okta_anypoint::settings::EngineSettings;

use super::Section;

/// The variables of the network are checked with the others; a fault among them leaves nothing to say here.
pub fn check(section: &mut Section, engine: Option<&EngineSettings>) {
    let Ok(network) = Network::for_process() else {
        return section.not_checked("way", "its settings are not complete");
    };
    if let Some(engine) = engine {
        let remotes = &engine.remotes;
        for (name, url) in [
            ("way to Okta", &remotes.okta.org_url),
            ("way to Anypoint", &remotes.anypoint_base_url),
        ] {
            match network.proxy_for(url) {
                Some(proxy) => section.ok(name, format!("through the proxy {proxy} (HTTPS_PROXY)")),
                None => section.ok(name, "direct"),
            }
        }
    }
    let Some(extra) = network.extra_roots() else {
        return section.ok("trusted roots", "the built-in ones");
    };
    let ignored = match extra.ignored {
        0 => String::new(),
        some => format!(", {some} unusable"),
    };
    section.ok(
        "trusted roots",
        format!(
            "the built-in ones and {} of {} (SSL_CERT_FILE{ignored})",
            extra.added, extra.file
        ),
    );
}
