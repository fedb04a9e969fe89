//! [`Gateway`]: the gateway as a child process.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::{Dir, LogLine, PATIENCE, binary, eventually, within};

pub use rustix::process::Signal;

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    stdout: ChildStdout,
    log: watch::Receiver<Vec<LogLine>>,
    reader: JoinHandle<()>,
    /// The folder that it runs in; lives as long.
    _dir: Dir,
}

/// A gateway that has ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error, as written.
    pub stderr: String,
    /// Standard error, by lines.
    pub log: Vec<LogLine>,
}

impl Gateway {
    /// Starts a gateway with this config and waits until `service-0` listens.
    pub async fn start(yaml: &str) -> Self {
        Self::start_in(Dir::new(), yaml).await
    }

    /// Starts a gateway whose config is written to `dir`, beside the files that it refers to by relative paths.
    pub async fn start_in(dir: Dir, yaml: &str) -> Self {
        dir.write("gateway.yaml", yaml);
        Self::start_with(dir, &["-C", "gateway.yaml"]).await
    }

    /// Starts a gateway with these arguments in `dir`, and waits until `service-0` listens.
    pub async fn start_with(dir: Dir, args: &[&str]) -> Self {
        let mut gateway = Self::spawn(dir, args);
        gateway.addr("service-0").await;
        gateway
    }

    /// As [`start`](Self::start), but memory that is free goes back to the system, so that [`resident`](Self::resident) says what is
    /// in use.
    pub async fn start_sparing(yaml: &str) -> Self {
        let dir = Dir::new();
        dir.write("gateway.yaml", yaml);
        let mut command = command(dir.path());
        command.args(["-C", "gateway.yaml"]).envs([
            ("MALLOC_ARENA_MAX", "1"),
            ("MALLOC_MMAP_THRESHOLD_", "16384"),
            ("MALLOC_TRIM_THRESHOLD_", "16384"),
        ]);
        let mut gateway = Self::watch(dir, command);
        gateway.addr("service-0").await;
        gateway
    }

    /// Starts the executable with these arguments in `dir`, whatever it is to do.
    pub fn spawn<A: AsRef<OsStr>>(dir: Dir, args: &[A]) -> Self {
        let mut command = command(dir.path());
        command.args(args);
        Self::watch(dir, command)
    }

    fn watch(dir: Dir, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (sender, log) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|log| log.push(LogLine::new(line)));
            }
        });
        Self { child, stdout, log, reader, _dir: dir }
    }

    /// The address of a service; waits until it listens.
    pub async fn addr(&mut self, service: &str) -> SocketAddr {
        let find =
            |log: &[LogLine]| log.iter().filter_map(LogLine::listening).find(|it| it.0 == service).map(|it| it.1);
        if let Ok(Ok(log)) = tokio::time::timeout(PATIENCE, self.log.wait_for(|log| find(log).is_some())).await {
            return find(&log).expect("it was there");
        }
        panic!("the gateway doesn't say that {service} is listening; it says:\n{}", self.log_text());
    }

    /// The address of `service-0`.
    pub async fn proxy(&mut self) -> SocketAddr {
        self.addr("service-0").await
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        self.log.borrow().clone()
    }

    /// The log so far, as written.
    #[must_use]
    pub fn log_text(&self) -> String {
        text(&self.log())
    }

    /// The log lines that `pick` chooses.
    pub fn logs_matching(&self, pick: impl Fn(&LogLine) -> bool) -> Vec<LogLine> {
        self.log().into_iter().filter(|line| pick(line)).collect()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the gateway takes the signal");
    }

    /// From now on it can open `files` more files, sockets included.
    pub fn allow_files(&self, files: u64) {
        let limit = Rlimit { current: Some(self.open_files() as u64 + files), ..getrlimit(Resource::Nofile) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("the gateway's limits are ours to set");
    }

    /// Files that it has open, sockets included.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the gateway is running").count()
    }

    /// Threads that it has.
    #[must_use]
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the gateway is running").count()
    }

    /// KiB of memory that it has.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let text = self.proc("smaps_rollup");
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line about all of it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Waits until it has no more than so many files open, and does nothing: who turns in a circle never gets there.
    pub async fn rests_with(&self, files: usize) {
        let what = format!("the gateway to rest with {files} files");
        eventually(&what, PATIENCE, async || {
            let before = self.cpu_ticks();
            tokio::time::sleep(Duration::from_millis(200)).await;
            (self.open_files() <= files && self.cpu_ticks() <= before + 1).then_some(())
        })
        .await;
    }

    /// Hundredths of a second that it computed so far.
    fn cpu_ticks(&self) -> u64 {
        let stat = self.proc("stat");
        // The second field, in parentheses, may contain anything.
        let (_, rest) = stat.rsplit_once(')').expect("its name");
        let ticks = rest.split_whitespace().skip(11).take(2);
        ticks.map(|number| number.parse::<u64>().expect("a number")).sum()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.pid())).expect("the gateway is running")
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).expect("the gateway is running")
    }

    /// Asks the gateway to end and waits until it has.
    pub async fn terminate(self) -> Finished {
        self.signal(Signal::TERM);
        self.finish().await
    }

    /// Waits until the gateway ends by itself.
    pub async fn finish(mut self) -> Finished {
        let mut stdout = String::new();
        let ended = async {
            self.stdout.read_to_string(&mut stdout).await.expect("standard output is UTF-8");
            (&mut self.reader).await.expect("standard error is UTF-8");
            self.child.wait().await.expect("the gateway is our child")
        };
        let status = match tokio::time::timeout(PATIENCE, ended).await {
            Ok(status) => status,
            Err(_) => panic!("the gateway runs on after {PATIENCE:?}; it says:\n{}", self.log_text()),
        };
        let log = self.log();
        Finished { code: status.code(), stdout, stderr: text(&log), log }
    }

    /// Waits until nobody listens at `addr`.
    pub async fn refuses(addr: SocketAddr) {
        eventually("the listener to close", Duration::from_secs(5), async || {
            tokio::net::TcpStream::connect(addr).await.is_err().then_some(())
        })
        .await;
    }
}

/// Lets this process have as many open files as the system allows, and says how many.
#[must_use]
pub fn most_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("the limit may be raised to the most");
    limit.maximum.unwrap_or(u64::MAX)
}

/// Runs the gateway in `dir` until it ends by itself.
pub async fn run(dir: &Path, args: &[&str]) -> Finished {
    let output = within("the gateway to end", command(dir).args(args).output()).await;
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
    let stderr = String::from_utf8(output.stderr).expect("standard error is UTF-8");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        log: stderr.lines().map(|line| LogLine::new(line.to_owned())).collect(),
        stderr,
    }
}

/// The gateway, at home in `dir`. If there is a `roots.pem`, the system's roots are those.
fn command(dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(dir).env_clear().env("HOME", dir).stdin(Stdio::null()).kill_on_drop(true);
    let roots = dir.join("roots.pem");
    if roots.exists() {
        command.env("SSL_CERT_FILE", roots);
    }
    command
}

fn text(log: &[LogLine]) -> String {
    log.iter().map(|line| format!("{line}\n")).collect()
}
