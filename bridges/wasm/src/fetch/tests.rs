#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

use std::os::unix::fs::PermissionsExt;

use drawspan_testkit::{Authority, Dir, HttpAnswer, HttpPlugin};

use super::*;

const BYTES: &[u8] = b"the component";

fn digest(bytes: &[u8]) -> Option<Digest> {
    Some(Sha256::digest(bytes).into())
}

/// Servers that we trust, and a cache.
struct Setup {
    authority: Authority,
    tls: TlsSettings,
    engine: Engine,
    dir: Dir,
}

impl Setup {
    fn new() -> Self {
        let (authority, dir) = (Authority::new(), Dir::new());
        let tls = TlsSettings { ca_file: Some(dir.write("ca.pem", authority.pem())), ..TlsSettings::default() };
        Self { authority, tls, engine: Engine::new(Some(dir.join("cache"))).unwrap(), dir }
    }

    async fn server(&self, answer: HttpAnswer) -> HttpPlugin {
        HttpPlugin::start_tls(self.authority.issue("127.0.0.1").server(&["http/1.1"]), answer).await
    }

    async fn fetch(&self, url: &str, sha256: Option<Digest>) -> Result<PathBuf, String> {
        fetch(&self.engine, &url.parse().unwrap(), sha256, &self.tls).await.map_err(|error| error.to_string())
    }
}

fn redirect(to: String) -> HttpAnswer {
    HttpAnswer::Reply { status: 302, header: Some(("location", to.leak())), body: Bytes::new() }
}

#[tokio::test]
async fn what_was_fetched_is_kept_and_checked() {
    let setup = Setup::new();
    let server = setup.server(HttpAnswer::reply(200, BYTES)).await;
    let url = format!("https://user:pa%20ss@{}/a.wasm?token=secret", server.addr());
    for calls in [1, 1] {
        let path = setup.fetch(&url, digest(BYTES)).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), BYTES);
        assert!(path.starts_with(setup.dir.join("cache")));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(server.calls().len(), calls);
    }
    let call = &server.calls()[0];
    assert_eq!(call.path, "/a.wasm?token=secret");
    assert_eq!(call.headers["authorization"], "Basic dXNlcjpwYSBzcw==");

    let path = setup.fetch(&url, digest(BYTES)).await.unwrap();
    std::fs::write(&path, b"damaged").unwrap();
    setup.fetch(&url, digest(BYTES)).await.unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), server.calls().len()), (BYTES.to_vec(), 2));

    server.stop().await;
    assert_eq!(setup.fetch(&url, digest(BYTES)).await.unwrap(), path, "the network isn't needed");
}

#[tokio::test]
async fn redirects_are_followed_without_the_credentials() {
    let setup = Setup::new();
    let server = setup.server(HttpAnswer::reply(200, BYTES)).await;
    let first = setup.server(redirect(format!("https://{}/there", server.addr()))).await;
    setup.fetch(&format!("https://user:password@{}/here", first.addr()), digest(BYTES)).await.unwrap();
    let call = &server.calls()[0];
    assert_eq!(call.path, "/there");
    assert!(first.calls()[0].headers.contains_key("authorization"));
    assert!(!call.headers.contains_key("authorization"));
}

#[tokio::test]
async fn an_error_names_the_url_without_its_secrets() {
    let setup = Setup::new();
    let server = setup.server(HttpAnswer::reply(200, BYTES)).await;
    let missing = setup.server(HttpAnswer::reply(404, "")).await;
    let circle = setup.server(redirect("/".into())).await;
    let plain = setup.server(redirect("http://user:password@127.0.0.1/a.wasm?token=secret".into())).await;
    let large = setup.server(HttpAnswer::reply(200, vec![0; LARGEST + 1])).await;
    let strange = HttpPlugin::start_tls(Authority::new().issue("127.0.0.1").server(&[]), HttpAnswer::Never).await;
    let gone = HttpPlugin::start(HttpAnswer::Never).await;
    let address = gone.addr();
    gone.stop().await;
    for (addr, sha256, reason) in [
        (server.addr(), digest(b"another"), "if it was replaced on purpose, change `sha256`"),
        (server.addr(), None, "needs its `sha256`"),
        (missing.addr(), digest(BYTES), "the server answered 404"),
        (circle.addr(), digest(BYTES), "more than 5 redirects"),
        (plain.addr(), digest(BYTES), "http://127.0.0.1/a.wasm is not https"),
        (large.addr(), digest(BYTES), "larger than 64 MiB"),
        (strange.addr(), digest(BYTES), "invalid peer certificate"),
        (address, digest(BYTES), "refused"),
    ] {
        let error =
            setup.fetch(&format!("https://user:password@{addr}/a.wasm?token=secret"), sha256).await.unwrap_err();
        assert!(error.starts_with(&format!("https://{addr}/a.wasm: ")) && error.contains(reason), "{error}");
        assert!(!error.contains("password") && !error.contains("secret"), "{error}");
    }
    let without_cache = Setup { engine: Engine::new(None).unwrap(), ..setup };
    let error = without_cache.fetch(&format!("https://{address}/"), digest(BYTES)).await.unwrap_err();
    assert!(error.contains("set XDG_CACHE_HOME"), "{error}");
}
