//! GOST's plugin page: an HTTP proxy whose users a plugin knows. Most tests are about it.

use std::net::SocketAddr;

use drawspan_testkit::{Dir, Finished, Gateway, Head, LogLine, Reply, Server, Users, basic, get, http_origin};

pub(crate) const USER: &str = "gost";
pub(crate) const PASSWORD: &str = "pa55-of-gost";
pub(crate) const TOKEN: &str = "t0ken-of-gost";
pub(crate) const USERS: Users = &[(USER, PASSWORD)];

/// The page, with this `plugin:` block.
pub(crate) fn page(plugin: &str) -> String {
    format!(
        "services:
- name: service-0
  addr: 127.0.0.1:0
  handler:
    type: http
    auther: auther-0
  listener:
    type: tcp
authers:
- name: auther-0
  plugin: {plugin}
"
    )
}

/// A gateway that runs the page, and something to proxy to.
pub(crate) struct Page {
    pub(crate) gateway: Gateway,
    pub(crate) proxy: SocketAddr,
    pub(crate) origin: Server,
}

impl Page {
    /// With this `plugin:` block.
    pub(crate) async fn start(plugin: &str) -> Self {
        Self::start_in(Dir::new(), plugin).await
    }

    /// With this `plugin:` block, whose files lie in `dir`.
    pub(crate) async fn start_in(dir: Dir, plugin: &str) -> Self {
        Self::with(Gateway::start_in(dir, &page(plugin)).await).await
    }

    /// With another gateway.
    pub(crate) async fn with(mut gateway: Gateway) -> Self {
        let proxy = gateway.proxy().await;
        Self { gateway, proxy, origin: http_origin().await }
    }

    /// Gets the origin's page through the proxy, with these header lines.
    pub(crate) async fn get(&self, headers: &str) -> Reply {
        get(self.proxy, headers, self.origin.addr()).await
    }

    /// The status of [`get`](Self::get) with these credentials.
    pub(crate) async fn ask(&self, user: &str, password: &str) -> u16 {
        self.get(&basic(user, password)).await.head.status
    }

    /// Fails unless the right password is let in, and wrong ones and none are refused.
    pub(crate) async fn assert_works(&self) {
        let reply = self.get(&basic(USER, PASSWORD)).await;
        assert_eq!(reply.head.status, 200, "{}\n{}", reply.head.text, self.gateway.log_text());
        assert!(reply.body.starts_with("GET /hello\n"), "{}", reply.body);
        for headers in [&basic(USER, "wrong"), &basic("nobody", PASSWORD), &basic("", ""), ""] {
            assert_challenged(&self.get(headers).await.head);
        }
    }

    /// Fails unless the right password is refused.
    pub(crate) async fn assert_denies(&self) {
        assert_challenged(&self.get(&basic(USER, PASSWORD)).await.head);
    }

    /// Ends the gateway and returns the problems that it logged after it began to listen.
    pub(crate) async fn problems(self) -> Vec<LogLine> {
        let Finished { code, log, stderr, .. } = self.gateway.terminate().await;
        assert_eq!(code, Some(0), "{stderr}");
        log.into_iter().skip_while(|line| line.listening().is_none()).filter(LogLine::is_problem).collect()
    }
}

/// Fails unless this answer asks for credentials as GOST does.
pub(crate) fn assert_challenged(head: &Head) {
    assert_eq!(head.status, 407, "{}", head.text);
    assert_eq!(head.header("proxy-authenticate"), Some(r#"Basic realm="gost""#), "{}", head.text);
}
