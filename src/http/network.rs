//! How the program reaches the internet: directly, or through a company's proxy, and whose certificates it trusts.
//!
//! `HTTPS_PROXY` and `NO_PROXY` (also in lower case) name the proxy and the hosts that need none; plain HTTP, which is
//! only used on this machine, never takes it. `SSL_CERT_FILE` adds the root certificates of a company that inspects TLS
//! to the ones that are compiled in. All of it is read once; without these variables nothing is read from the file
//! system.

use std::fmt;
use std::fs;
use std::sync::OnceLock;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::tls::{client_builder, web_roots};

/// A variable at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is malformed: expected {expected}")]
pub struct NetworkError {
    /// Its name.
    pub variable: &'static str,
    /// What is expected instead. Never the value: a proxy's address may hold a password.
    pub expected: String,
}

/// The proxy and the trusted roots of this process.
#[derive(Debug)]
pub struct Network {
    proxy: Option<Proxy>,
    roots: RootCertStore,
    extra: Option<ExtraRoots>,
}

/// The root certificates that `SSL_CERT_FILE` adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraRoots {
    /// The file.
    pub file: String,
    /// Certificates that are trusted.
    pub added: usize,
    /// Certificates that cannot be used as roots.
    pub ignored: usize,
}

struct Proxy {
    address: Url,
    except: String,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Proxy {
    /// Host and port, without user and password.
    fn shown(&self) -> String {
        let host = self.address.host_str().unwrap_or_default();
        let port = self.address.port_or_known_default().unwrap_or_default();
        format!("{host}:{port}")
    }
}

impl Network {
    /// The network of this process, from its environment.
    ///
    /// # Errors
    /// The variable at fault.
    pub fn for_process() -> Result<&'static Self, NetworkError> {
        static NETWORK: OnceLock<Result<Network, NetworkError>> = OnceLock::new();
        let network = NETWORK.get_or_init(|| Self::read(|name| std::env::var(name).ok()));
        network.as_ref().map_err(Clone::clone)
    }

    /// The network that `lookup` finds.
    ///
    /// # Errors
    /// The variable at fault.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, NetworkError> {
        let find = |name: &str| {
            [name.to_owned(), name.to_lowercase()]
                .iter()
                .filter_map(|name| lookup(name))
                .map(|value| value.trim().to_owned())
                .find(|value| !value.is_empty())
        };
        let proxy = match find("HTTPS_PROXY") {
            None => None,
            Some(address) => Some(Proxy {
                address: proxy_address(&address)?,
                except: find("NO_PROXY").unwrap_or_default(),
            }),
        };
        let mut roots = web_roots();
        let file = lookup("SSL_CERT_FILE").filter(|file| !file.trim().is_empty());
        let extra = file.map(|file| add_roots(&mut roots, file)).transpose()?;
        Ok(Self {
            proxy,
            roots,
            extra,
        })
    }

    /// A client that uses this network.
    ///
    /// # Errors
    /// When the TLS set-up is refused, which would be a defect of this program.
    pub(crate) fn client_builder(&self) -> Result<reqwest::ClientBuilder, String> {
        let builder = client_builder(self.roots.clone()).map_err(|error| error.to_string())?;
        let Some(proxy) = &self.proxy else {
            return Ok(builder);
        };
        let through = reqwest::Proxy::https(proxy.address.clone())
            .map_err(|error| error.without_url().to_string())?;
        let except = reqwest::NoProxy::from_string(&proxy.except);
        Ok(builder.proxy(through.no_proxy(except)))
    }

    /// The proxy (host and port) that a call to `url` goes through; `None` when it goes directly.
    #[cfg(feature = "local")]
    pub fn proxy_for(&self, url: &Url) -> Option<String> {
        let proxy = self.proxy.as_ref()?;
        // The rules that the client follows.
        let rules = hyper_util::client::proxy::matcher::Matcher::builder()
            .https(proxy.address.as_str().to_owned())
            .no(proxy.except.clone())
            .build();
        let target: http::Uri = url.as_str().parse().ok()?;
        rules.intercept(&target).map(|_| proxy.shown())
    }

    /// What `SSL_CERT_FILE` adds to the built-in roots.
    pub fn extra_roots(&self) -> Option<&ExtraRoots> {
        self.extra.as_ref()
    }
}

/// A proxy's address, with `http://` in front where the scheme is left out, as curl takes it.
fn proxy_address(text: &str) -> Result<Url, NetworkError> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let address = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
    });
    address.ok_or_else(|| NetworkError {
        variable: "HTTPS_PROXY",
        expected: "the address of an HTTP proxy, such as http://proxy.acme.example:3128".to_owned(),
    })
}

fn add_roots(roots: &mut RootCertStore, file: String) -> Result<ExtraRoots, NetworkError> {
    let wrong = |why: String| NetworkError {
        variable: "SSL_CERT_FILE",
        expected: format!("a file of root certificates in PEM form ({why})"),
    };
    let text = fs::read(&file).map_err(|error| wrong(error.kind().to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("its PEM sections cannot be read".to_owned()))?;
    let (added, ignored) = roots.add_parsable_certificates(found);
    if added == 0 {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(ExtraRoots {
        file,
        added,
        ignored,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(variables: &[(&str, &str)]) -> Result<Network, NetworkError> {
        Network::read(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[cfg(feature = "local")]
    #[test]
    fn https_takes_the_proxy_unless_the_host_is_excepted() {
        let network = network(&[
            ("HTTPS_PROXY", "http://user:planted@proxy.acme.example:3128"),
            ("no_proxy", "localhost,.corp.example,10.0.0.0/8"),
        ])
        .unwrap();
        let way = |url: &str| network.proxy_for(&url.parse().unwrap());
        let proxy = Some("proxy.acme.example:3128".to_owned());
        assert_eq!(way("https://acme.okta.com/api"), proxy);
        assert_eq!(way("https://anypoint.mulesoft.com"), proxy);
        for direct in [
            "https://localhost:8443/",
            "https://okta.corp.example/",
            "https://10.1.2.3/",
            "http://127.0.0.1:8000/",
            "http://acme.okta.com/",
        ] {
            assert_eq!(way(direct), None, "{direct}");
        }
        assert!(!format!("{network:?}").contains("planted"));
    }

    #[cfg(feature = "local")]
    #[test]
    fn a_proxy_without_a_scheme_speaks_http_and_the_default_is_no_proxy() {
        let url = "https://acme.okta.com".parse().unwrap();
        let with = network(&[("https_proxy", "proxy:3128")]).unwrap();
        assert_eq!(with.proxy_for(&url), Some("proxy:3128".to_owned()));
        let without = network(&[("HTTPS_PROXY", " ")]).unwrap();
        assert_eq!(without.proxy_for(&url), None);
    }

    #[test]
    fn faults_are_named_without_their_values() {
        for bad in [
            "socks5://user:planted@proxy:1080",
            "http://",
            "http://user:planted@:1",
        ] {
            let error = network(&[("HTTPS_PROXY", bad)]).unwrap_err();
            assert_eq!(error.variable, "HTTPS_PROXY");
            assert!(!error.to_string().contains("planted"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "no certificate").unwrap();
        let broken = folder.path().join("broken.pem");
        fs::write(
            &broken,
            "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        for bad in [empty, broken, folder.path().join("missing.pem")] {
            let error = network(&[("SSL_CERT_FILE", bad.to_str().unwrap())]).unwrap_err();
            assert_eq!(error.variable, "SSL_CERT_FILE");
        }
    }

    #[test]
    fn a_file_adds_roots_to_the_built_in_ones() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/data/test-only-localhost.cert.pem"
        );
        let network = network(&[("SSL_CERT_FILE", file)]).unwrap();
        assert_eq!(network.roots.len(), web_roots().len() + 1);
        let extra = network.extra_roots().unwrap();
        assert_eq!((extra.added, extra.ignored), (1, 0));
    }
}
