use super::*;
use proptest::prelude::*;
use trust::manifest::{Health, HealthCheck, HttpCheck, Inconclusive, KernelFeature, Migrate, Smoke};

fn wrong(text: &str) -> String {
    match parse(text, "sortie.toml") {
        Ok(project) => panic!("{text}\nwas taken: {project:?}"),
        Err(error) => error.to_string(),
    }
}

const WHOLE: &str = r#"
# sortie.toml: beside the code, part of the build, so what runs is what was approved
app   = "web"
files = "dist"                      # its contents become the working folder
on    = "role=web"                  # which targets, in every environment
data  = ["uploads"]                 # outlives releases
needs = { os = "linux", memory = "512 MiB" }
[process.web]
run    = "./web --port $PORT"       # a free port per copy; `port = 8080` fixes it
health = { http = "/healthz", within = "30s" }
copies = 2
[process.worker]
run = "./web work"
[config]
DATABASE_URL = "secret"             # no default: set per environment
LOG_LEVEL    = { default = "info" }
"#;

#[test]
fn the_file_in_the_design_reads() {
    let project = parse(WHOLE, "sortie.toml").unwrap();
    assert_eq!((project.app.as_str(), project.files.as_str()), ("web", "dist"));
    assert_eq!(project.run.on["role"], "web");
    assert_eq!(project.run.data, ["uploads"]);
    assert_eq!(project.run.needs.memory_bytes, Some(512 << 20));
    let web = &project.run.processes["web"];
    assert_eq!(web.run, ["./web", "--port", "$PORT"]);
    assert_eq!((web.copies, web.port, web.stop_seconds), (2, None, STOP_SECONDS));
    let health = Health {
        check: HealthCheck::Http("/healthz".into()),
        within_seconds: 30,
        consecutive: CONSECUTIVE,
        every_seconds: None,
    };
    assert_eq!(web.health, Some(health));
    assert!(project.run.config["DATABASE_URL"].secret);
    assert_eq!(project.run.config["LOG_LEVEL"].default.as_deref(), Some("info"));
    assert!(!project.checkpoint && project.paths.is_empty() && project.build.is_none());
    project.manifest(Vec::new()).unwrap();
}

#[test]
fn every_other_field_reads_too() {
    let project = parse(
        r#"
        app = "api"
        files = "./target/out/"
        build = "cargo build --release"
        paths = ["services/api", "."]
        user = "www-data"
        needs = { arch = "aarch64", disk = "1 GiB" }
        environment = { RUST_LOG = "info" }
        [process.api]
        run = ["./api", "two words", "$PORT"]
        stop = "SIGQUIT"
        stop_within = "2m"
        health = { tcp = true, consecutive = 3 }
        [process.fixed]
        run = "./api"
        port = 8080
        socket = "::"
        health = { command = "./check 'it is up'" }
        [config]
        A = "required"
        B = { secret = true }
        C = {}
        "#,
        "sortie.toml",
    )
    .unwrap();
    assert_eq!((project.files.as_str(), project.build.as_deref()), ("target/out", Some("cargo build --release")));
    assert_eq!(project.paths, ["services/api", "."]);
    assert_eq!(project.run.user.as_deref(), Some("www-data"));
    let api = &project.run.processes["api"];
    assert_eq!(api.run, ["./api", "two words", "$PORT"]);
    assert_eq!((api.stop_signal, api.stop_seconds), (StopSignal::Quit, 120));
    assert_eq!(api.health.as_ref().unwrap().consecutive, 3);
    let fixed = &project.run.processes["fixed"];
    assert_eq!((fixed.port, fixed.socket), (Some(8080), "::".parse().ok()));
    assert_eq!(fixed.health.as_ref().unwrap().check, HealthCheck::Command(vec!["./check".into(), "it is up".into()]));
    assert_eq!(project.run.config["A"], ConfigKey { secret: false, default: None });
    assert!(project.run.config["B"].secret);
}

#[test]
fn checks_of_every_kind_read() {
    let project = parse(
        r#"
        app = "web"
        files = "dist"
        config = { PROMETHEUS = "required" }
        [process.web]
        run = "./web --port $PORT"
        health = { http = "/healthz", status = 200, contains = "well", every = "2s", within = "1m", successes = 3 }
        socket = true
        [process.worker]
        run = "./web work"
        health = { log = "ready for *" }
        [verify.errors]
        prometheus = "$PROMETHEUS/"
        query = "rate(errors[1m])"
        success = "< 0.01"
        failure = "> 0.05"
        inconclusive = "continue"
        [verify.front]
        tcp = true
        port = 443
        [verify.page]
        process = "web"
        http = "/"
        [smoke]
        run = "./smoke.sh"
        process = "web"
        within = "10s"
        [migrate]
        run = "./migrate up"
        undo = "./migrate down"
        within = "1h"
        [traffic]
        upstream = "nginx"
        drain = "./leave $PORT"
        back = "./enter $PORT"
        wait = "3s"
        "#,
        "sortie.toml",
    )
    .unwrap();
    let run = &project.run;
    let http = HttpCheck { path: "/healthz".into(), status: Some(200), contains: Some("well".into()) };
    let health = Health { check: HealthCheck::Http(http), within_seconds: 60, consecutive: 3, every_seconds: Some(2) };
    assert_eq!(run.processes["web"].health, Some(health));
    assert_eq!(run.processes["web"].socket, "127.0.0.1".parse().ok());
    assert_eq!(run.processes["worker"].health.as_ref().unwrap().check, HealthCheck::Log("ready for *".into()));
    let errors = &run.verify["errors"];
    let HealthCheck::Prometheus(measured) = &errors.check.check else { panic!("{errors:?}") };
    assert_eq!((measured.url.as_str(), measured.inconclusive), ("$PROMETHEUS", Inconclusive::Continue));
    assert!(measured.success.as_ref().unwrap().is_met(0.0) && measured.failure.as_ref().unwrap().is_met(1.0));
    assert_eq!((errors.check.within_seconds, errors.check.every_seconds), (300, Some(10)));
    assert_eq!(run.verify["front"].port, Some(443));
    assert_eq!(run.verify["page"].process.as_deref(), Some("web"));
    let smoke = Smoke { run: vec!["./smoke.sh".into()], process: Some("web".into()), within_seconds: 10 };
    assert_eq!(run.smoke, Some(smoke));
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (up, down) = (words("./migrate up"), Some(words("./migrate down")));
    assert_eq!(run.migrate, Some(Migrate { run: up, undo: down, process: None, within_seconds: 3600 }));
    // A minute of health, twice ten seconds to stop, five minutes of measuring, the smoke test, the migration, the drains.
    assert_eq!(run.takes_seconds(), 60 + 20 + 300 + 10 + 3600 + 6);
    let command = |program: &str| Some(vec![program.to_owned(), "$PORT".into()]);
    let (drain, back) = (command("./leave"), command("./enter"));
    assert_eq!(
        run.traffic,
        Some(Traffic { upstream: Some(Upstream::Nginx), drain, back, drain_seconds: 3, switch: None })
    );
    let manifest = project.manifest(Vec::new()).unwrap();
    assert_eq!(Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap(), manifest);
}

#[test]
fn r25_a_checkpoint_has_nothing_to_install() {
    let project = parse("app = \"spec\"\ncheckpoint = true\npaths = [\"docs\"]", "sortie.toml").unwrap();
    assert!(project.checkpoint && project.files.is_empty());
    assert!(
        wrong("app = \"x\"\ncheckpoint = true\nfiles = \"a\"").contains("sortie.toml:3:1: a checkpoint has nothing")
    );
    assert!(wrong("app = \"x\"\ncheckpoint = true\n[process.a]\nrun = \"x\"").contains("nothing to install"));
}

#[test]
fn complaints_name_the_line_and_the_field_that_was_meant() {
    let base = "app = \"web\"\nfiles = \"dist\"\n";
    let cases = [
        (
            "[process.web]\nrun = \"x\"\nhelth = 1",
            "sortie.toml:5:1: unknown field 'helth' in process web; did you mean 'health'?",
        ),
        ("fils = 1", "sortie.toml:3:1: unknown field 'fils'; did you mean 'files'?"),
        ("env = { A = \"b\" }", "sortie.toml:3:1: unknown field 'env'; did you mean 'environment'?"),
        ("[proces.web]\nrun = \"x\"", "sortie.toml:3:2: unknown field 'proces'; did you mean 'process'?"),
        ("needs = { mem = \"1 GiB\" }", "sortie.toml:3:11: unknown field 'mem' in needs; did you mean 'memory'?"),
        ("zzzzzzzz = 1", "unknown field 'zzzzzzzz'; known here: app, files"),
        (
            "[process.web]\nrun = 5",
            "sortie.toml:4:7: 'run' in process web must be a text in quotes, not a whole number",
        ),
        (
            "[process.web]\nrun = \"x\"\nport = \"80\"",
            "sortie.toml:5:8: 'port' in process web must be a whole number, not a text",
        ),
        ("[process.web]\nrun = \"x\"\nport = 65536", "sortie.toml:5:8: 'port' in process web must be from 1 to 65535"),
        ("[process.web]\nrun = \"x\"\ncopies = 0", "'copies' in process web must be from 1 to 64"),
        ("[process.web]\nrun = \"x\"\ncopies = 2\nport = 80", "sortie.toml:3:10: process web fixes its port"),
        ("[process.web]\ncopies = 2", "sortie.toml:3:10: process web has no 'run'"),
        ("[process.web]\nrun = \"\"", "names no program"),
        ("[process.web]\nrun = \"a | b\"", "sortie.toml:4:7: 'run' in process web: it uses '|', which needs a shell"),
        (
            "[process.web]\nrun = \"x\"\nhealth = { http = \"/h\" }",
            "sortie.toml:3:10: process web has a health check on a port but no port",
        ),
        ("[process.web]\nrun = \"x\"\nhealth = {}", "must ask exactly one thing"),
        (
            "[process.web]\nrun = \"x\"\nhealth = { command = \"x\", status = 200 }",
            "'status' in health of process web belongs to http",
        ),
        (
            "[process.web]\nrun = \"x\"\nhealth = { log = \"x\", successes = 1, consecutive = 2 }",
            "another word for 'successes'",
        ),
        (
            "[process.web]\nrun = \"x\"\nhealth = { prometheus = \"http://p\", query = \"q\", success = \"< 1\" }",
            "sortie.toml:3:10: process web: prometheus measures the whole build; put it under [verify.NAME]",
        ),
        ("[process.web]\nrun = \"x\"\nhealth = { log = \"\" }", "log must have 1 to 1024 bytes"),
        ("[verify.m]\nprometheus = \"http://p\"\nquery = \"q\"", "sortie.toml:3:9: verify m needs success or failure"),
        (
            "[verify.m]\nprometheus = \"http://p\"\nquery = \"q\"\nsuccess = \"0.1\"",
            "sortie.toml:6:11: 'success' in verify m: a threshold is a comparison with a number",
        ),
        (
            "[verify.m]\nprometheus = \"p\"\nquery = \"q\"\nsuccess = \"< 1\"\ninconclusive = \"stop\"",
            "must be \"continue\", \"undo\" or \"pause\"",
        ),
        ("[verify.m]\nprometheus = \"http://p\"\nsuccess = \"< 1\"", "a measurement needs query"),
        (
            "[verify.page]\nhttp = \"/\"",
            "sortie.toml:3:9: verify page must say which process it asks: process = \"NAME\", or which port: port = N",
        ),
        ("[verify.page]\nlog = \"x\"", "verify page must say which process it asks: process = \"NAME\""),
        (
            "[process.web]\nrun = \"x\"\n[verify.page]\nhttp = \"/\"",
            "verify page asks a port, and process web has none",
        ),
        ("[verify.Page]\ntcp = true\nport = 1", "'Page' cannot name a verification"),
        ("[verify.page]\ntcp = true\nport = 1\nprocess = \"x\"", "names the process 'x', which there is not"),
        (
            "[process.web]\nrun = \"x\"\nsocket = 80",
            "sortie.toml:5:10: 'socket' in process web must be true, or an address such as \"0.0.0.0\"",
        ),
        (
            "[process.web]\nrun = \"x $PORT\"\n[traffic]\nupstream = \"/etc/nginx/x\"",
            "'upstream' in traffic must be \"nginx\" or \"haproxy\"; which file it goes into, the machine's owner says",
        ),
        (
            "[process.web]\nrun = \"x $PORT\"\n[traffic]\nwait = \"1s\"",
            "sortie.toml:5:2: traffic says neither upstream",
        ),
        ("[process.web]\nrun = \"x\"\n[traffic]\nupstream = \"nginx\"", "traffic is of copies with a port"),
        (
            "[process.web]\nrun = \"x $PORT\"\n[traffic]\nupstream = \"nginx\"\nswitch = \"blue\"",
            "sortie.toml:7:10: 'switch' in traffic must be \"one-by-one\" or \"blue-green\"",
        ),
        (
            "[process.web]\nrun = \"x $PORT\"\n[traffic]\ndrain = \"x\"\nswitch = \"blue-green\"",
            "sortie.toml:5:2: blue-green switches by one write of a list, so it needs upstream",
        ),
        (
            "[process.web]\nrun = \"x\"\nport = 80\n[traffic]\nupstream = \"nginx\"\nswitch = \"blue-green\"",
            "process web fixes its port: take port away and use $PORT in run",
        ),
        (
            "[process.web]\nrun = \"x\"\nsocket = true\n[traffic]\nupstream = \"nginx\"\nswitch = \"blue-green\"",
            "process web hands its socket on at one: take away socket or switch",
        ),
        (
            "[traffic]\ndrain_seconds = 1",
            "sortie.toml:4:1: unknown field 'drain_seconds' in traffic; it is called otherwise: wait = \"5s\"",
        ),
        (
            "[verify.page]\nhttp = \"/\"\nport = 80\nsuccesses = 99\nwithin = \"1s\"\nevery = \"1s\"",
            "sortie.toml:6:13: 'successes' in verify page: 99 answers, one every 1 s, take 98 s, and within is 1 s: it \
             could never be well",
        ),
        (
            "[verify.m]\nprometheus = \"p\"\nquery = \"q\"\nsuccess = \"< 1\"\nsuccesses = 31",
            "31 answers, one every 10 s, take 300 s, and within is 300 s: it could never be well",
        ),
        (
            "[verify.m]\nprometheus = \"htp:/foo\"\nquery = \"q\"\nsuccess = \"< 1\"",
            "sortie.toml:4:14: 'prometheus' in verify m: 'htp:/foo' is no address of a Prometheus server; write it as \
             \"http://prometheus:9090\"",
        ),
        (
            "[verify.m]\nprometheus = \"http://\"\nquery = \"q\"\nsuccess = \"< 1\"",
            "'http://' is no address of a Prometheus server",
        ),
        (
            "[verify.m]\nprometheus = \"$PROMETHEUS\"\nquery = \"q\"\nsuccess = \"< 1\"",
            "sortie.toml:4:14: 'prometheus' in verify m mentions $PROMETHEUS, which nothing declares; write PROMETHEUS = \
             \"required\" under [config]",
        ),
        (
            "[verify.m]\nprometheus = \"http://p:${P}/\"\nquery = \"q\"\nsuccess = \"< 1\"",
            "mentions $P, which nothing declares",
        ),
        (
            "[config]\nP = { default = \"htp:/foo\" }\n[verify.m]\nprometheus = \"$P\"\nquery = \"q\"\nsuccess = \"< 1\"",
            "'$P' is no address of a Prometheus server",
        ),
        (
            "[verify.m]\nprometheus = \"http://p\"\nquery = \"q\"\nsuccess = \"< 0.05\"\nfailure = \"> 0.01\"",
            "sortie.toml:7:11: 'failure' in verify m: some values are both \"> 0.01\" and success = \"< 0.05\"; write two \
             that no value meets at once",
        ),
        ("[migrate]\nundo = \"x\"", "sortie.toml:3:2: migrate has no 'run'"),
        (
            "[process.migrate]\nrun = \"x\"\n[migrate]\nrun = \"x\"",
            "a process cannot be called migrate where there is a [migrate]",
        ),
        ("[smoke]\nwithin = \"1s\"", "sortie.toml:3:2: smoke has no 'run'"),
        (
            "[process.smoke]\nrun = \"x\"\n[smoke]\nrun = \"x\"",
            "a process cannot be called smoke where there is a [smoke]",
        ),
        ("[process.web]\nrun = \"x $PORT\"\nhealth = { http = \"h\" }", "must be a path such as \"/healthz\""),
        (
            "[process.web]\nrun = \"x $PORT\"\nhealth = { http = \"/h\", witin = \"1s\" }",
            "unknown field 'witin' in health of process web; did you mean 'within'?",
        ),
        (
            "[process.web]\nrun = \"x $PORT\"\nhealth = { tcp = true, within = \"soon\" }",
            "a duration is written 30s, 5m, 4h or 1d",
        ),
        ("[process.web]\nrun = \"x\"\nstop_within = \"0s\"", "must be from 1s to 1d"),
        ("[process.web]\nrun = \"x\"\nstop = \"KILL\"", "\"TERM\", \"INT\", \"QUIT\" or \"HUP\""),
        ("[process.Web]\nrun = \"x\"", "sortie.toml:3:10: 'Web' cannot name a process"),
        ("process = 1", "'process' must be a table"),
        ("on = \"role\"", "sortie.toml:3:6: 'role' is no label"),
        ("data = \"x\"", "'data' must be a list of texts"),
        ("data = [\"a\", 1]", "sortie.toml:3:14: 'data' must be a text"),
        ("data = [\"a\", \"a/b\"]", "one inside the other"),
        ("data = [\"../a\"]", "must be a path inside"),
        ("data = [\".\"]", "not the working folder itself"),
        ("needs = { os = \"linus\" }", "did you mean 'linux'?"),
        ("needs = { ports = 443 }", "'ports' in needs must be a list of ports, as [80, 443], not a whole number"),
        ("needs = { ports = [0] }", "'ports' in needs must be from 1 to 65535"),
        ("needs = { kernel = \"new\" }", "sortie.toml:3:1: needs: 'new' is no version of a kernel; write kernel ="),
        ("needs = { kernel_features = [\"cgroups2\"] }", "did you mean 'cgroup2'?"),
        ("needs = { services = [\"-x\"] }", "needs: '-x' cannot name a service"),
        ("needs = { programs = [\"bin/x\"] }", "needs: 'bin/x' must be a program's name"),
        ("needs = { arch = \"amd64\" }", "did you mean 'x86_64'?"),
        ("needs = { memory = \"much\" }", "a size is written 512 MiB"),
        ("user = \"Root!\"", "must name a system user"),
        ("checkpoint = \"yes\"", "sortie.toml:3:14: 'checkpoint' must be true or false"),
        ("[environment]\nlower = \"x\"", "sortie.toml:4:1: 'lower' cannot name a variable"),
        (
            "[environment]\nPORT = 80",
            "sortie.toml:4:8: 'PORT' in environment must be a text in quotes, not a whole number; put it in quotes",
        ),
        ("[environment]\nA = \"x\\u0000y\"", "zero byte"),
        ("[config]\nA = \"info\"", "sortie.toml:4:5: 'A' in config must be \"secret\""),
        ("[config]\nA = { secret = true, default = \"x\" }", "a secret has no default"),
        ("[config]\nA = { defualt = \"x\" }", "did you mean 'default'?"),
        ("[config]\nLD_PRELOAD = \"required\"", "sortie.toml:4:1: config may not set LD_PRELOAD"),
        ("[config]\na = \"required\"", "sortie.toml:4:1: 'a' cannot name a variable"),
        (
            "environment = { A = \"x\" }\n[config]\nA = \"required\"",
            "sortie.toml:5:1: A stands both in environment and in config",
        ),
        ("app = \"twice\"", "sortie.toml:3:1: "),
        ("x = ", "sortie.toml:3:"),
    ];
    for (text, expected) in cases {
        let found = wrong(&format!("{base}{text}\n"));
        assert!(found.contains(expected), "for:\n{text}\nfound:    {found}\nexpected: {expected}");
    }
    assert_eq!(wrong("files = \"x\""), "sortie.toml:1:1: the field 'app' is missing; write app = \"name\"");
    assert!(wrong("app = \"x\"").contains("the field 'files' is missing"));
    assert!(wrong("app = \"My App\"\nfiles = \"x\"").contains("sortie.toml:1:7: 'My App' is not a name"));
    assert!(wrong("app = \"x\"\nfiles = \"/etc\"").contains("sortie.toml:2:9: 'files' must be a path inside"));
    assert!(wrong("app = \"x\"\nfiles = \"../y\"").contains("must be a path inside"));
    assert!(wrong(&"#".repeat(MAX_FILE_BYTES + 1)).contains("longer than"));
    assert!(!wrong("app = \"x\"\n\"\\u001b[2J\" = 1").contains('\u{1b}'));
}

#[test]
fn columns_count_characters() {
    assert!(wrong("app = \"x\"\nneeds = { os = \"ä\", mem = 1 }").starts_with("sortie.toml:2:21: "));
}

proptest! {
    #[test]
    fn nothing_panics(text in "(?s).{0,200}") {
        let _ = parse(&text, "sortie.toml");
    }

    /// One character changed anywhere in a good file reads or is refused, and a refusal lies inside the file.
    #[test]
    fn a_slip_of_the_pen_never_panics(at: prop::sample::Index, c: char) {
        let mut characters: Vec<char> = WHOLE.chars().collect();
        let at = at.index(characters.len());
        characters[at] = c;
        let text: String = characters.into_iter().collect();
        if let Err(error) = parse(&text, "sortie.toml") {
            prop_assert!(error.line <= text.matches('\n').count() + 1, "{}", error);
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }
}

#[test]
fn blue_green_is_said_in_traffic_and_one_by_one_is_what_nothing_said_is() {
    let run = |switch: &str| {
        let text = format!(
            "app = \"x\"\nfiles = \".\"\n[process.web]\nrun = \"x $PORT\"\n[traffic]\nupstream = \"haproxy\"\n{switch}"
        );
        parse(&text, "sortie.toml").unwrap().run
    };
    assert!(run("switch = \"blue-green\"").is_blue_green());
    assert!(!run("").is_blue_green());
    assert_eq!(run("switch = \"one-by-one\""), run(""));
}

#[test]
fn what_a_machine_must_have_is_read() {
    let text = "app = \"x\"\nfiles = \".\"\nneeds = { kernel = \"5.10\", ports = [443, 80], services = [\"postgresql\"], \
                programs = [\"ffmpeg\"], kernel_features = [\"userns\", \"cgroup2\"] }\n[process.web]\nrun = \"x\"\nport = 8080";
    let run = parse(text, "sortie.toml").unwrap().run;
    assert_eq!(run.needs.kernel.as_deref(), Some("5.10"));
    assert_eq!(run.fixed_ports(), [80, 443, 8080].into());
    assert_eq!(run.needs.services, ["postgresql".to_owned()].into());
    assert_eq!(run.needs.programs, ["ffmpeg".to_owned()].into());
    assert_eq!(run.needs.kernel_features, [KernelFeature::Cgroup2, KernelFeature::Userns].into());
}

#[test]
fn what_is_measured_is_watched_and_anything_else_where_that_is_said() {
    let watched = |asks: &str| {
        let text = format!("app = \"x\"\nfiles = \".\"\n[process.web]\nrun = \"x $PORT\"\n[verify.it]\n{asks}");
        parse(&text, "sortie.toml").map(|project| project.run.verify["it"].watched_seconds())
    };
    let measured = "prometheus = \"http://p\"\nquery = \"q\"\nsuccess = \"< 1\"\n";
    for (asks, expected) in [
        (measured.to_owned(), Some(30)),
        (format!("{measured}watch = true"), Some(30)),
        (format!("{measured}watch = false"), None),
        (format!("{measured}watch = \"2m\""), Some(120)),
        ("http = \"/\"".into(), None),
        ("http = \"/\"\nwatch = false".into(), None),
        ("http = \"/\"\nwatch = true".into(), Some(30)),
    ] {
        assert_eq!(watched(&asks).unwrap(), expected, "{asks}");
    }
    let wrong = |asks: &str| watched(asks).unwrap_err().to_string();
    assert!(wrong("log = \"ready\"\nwatch = true").contains("verify it cannot be watched"));
    assert!(wrong("http = \"/\"\nwatch = 30").contains("must be true, false, or how often"));
}

#[test]
fn where_a_measurement_is_asked_an_environment_may_say() {
    let reads = |address: &str| {
        let text = format!(
            "app = \"x\"\nfiles = \".\"\nenvironment = {{ HOST = \"prometheus\" }}\n[config]\nP = \"required\"\n\
             Q = {{ default = \"http://p\" }}\n[verify.it]\nprometheus = \"{address}\"\nquery = 'up{{a=~\"b.*$\"}}'\nsuccess = \"< 1\"\n"
        );
        parse(&text, "sortie.toml").map_err(|error| error.to_string())
    };
    for address in [
        "$P",
        "${P}/prefix",
        "$Q",
        "https://p:9090/x",
        "http://$HOST:9090",
        "http://$P",
        "http://$SORTIE_ENVIRONMENT.p",
    ] {
        reads(address).unwrap();
    }
    assert!(reads("p$P").unwrap_err().contains("is no address"));
}

#[test]
fn r4_a_package_lists_versions_of_others_and_nothing_else() {
    let text = "app = \"shop\"\n[package]\ndb = \"2.0.1\"\napi = { version = \"1.4.0\", after = [\"db\"] }\n";
    let shop = parse(text, "sortie.toml").unwrap();
    assert!(shop.has_no_files() && !shop.checkpoint);
    let api = &shop.package[&"api".parse::<AppName>().unwrap()];
    assert_eq!((api.version.to_string(), api.after.len()), ("1.4.0".to_string(), 1));
    let listed = package::with_builds(&shop.package, |_, _| Some(trust::Digest::of(b"x"))).unwrap();
    assert_eq!(listed.len(), 2);
    assert!(
        package::with_builds(&shop.package, |app, _| (app.as_str() == "db").then(|| trust::Digest::of(b"x"))).is_none()
    );

    let refused = |text: &str| parse(&format!("app = \"shop\"\n{text}"), "sortie.toml").unwrap_err().to_string();
    for (text, why) in [
        ("files = \".\"\n[package]\ndb = \"1.0.0\"\n", "2:1: a package only lists versions of others"),
        ("[package]\n", "'package' lists nothing"),
        ("[package]\ndb = \"one\"\n", "3:6: 'one' is not a version number"),
        ("[package]\ndb = 1\n", "must be a text in quotes"),
        ("[package]\ndb = { after = [] }\n", "package db has no 'version'"),
        ("[package]\ndb = { version = \"1.0.0\", afer = [] }\n", "after"),
        ("[package]\ndb = { version = \"1.0.0\", after = [\"web\"] }\n", "db comes after web, which is no member"),
        (
            "[package]\ndb = { version = \"1.0.0\", after = [\"web\"] }\nweb = { version = \"1.0.0\", after = [\"db\"] }\n",
            "db, web come after one another in a circle",
        ),
        ("[package]\nshop = \"1.0.0\"\n", "shop cannot be a member of itself"),
        ("[package]\nDB = \"1.0.0\"\n", "a member is an application"),
    ] {
        let said = refused(text);
        assert!(said.contains(why), "{text}: {said}");
    }
}

/// The page of all fields.
const PAGE: &str = include_str!("../../../../docs/manifest.md");

/// The names in the tables below a heading of the page, in order.
fn rows(heading: &str) -> Vec<&'static str> {
    let section = PAGE.split("\n## ").find(|section| section.lines().next() == Some(heading));
    let section = section.unwrap_or_else(|| panic!("docs/manifest.md has no section {heading}"));
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).map(|(name, _)| name).collect()
}

#[test]
fn docs_manifest_md_lists_every_field_and_no_other() {
    // Who writes a field that nobody knows is told of all that are known there.
    let known = |place: &str| -> BTreeSet<String> {
        let text = format!("app = \"web\"\nfiles = \"dist\"\n{}", place.replace("ZZZ", "zzzzzzzz = 1"));
        let said = wrong(&text);
        let (_, known) = said.split_once("known here: ").unwrap_or_else(|| panic!("{place}: {said}"));
        known.split(", ").map(str::to_owned).collect()
    };
    let process = |field: &str| format!("[process.web]\nrun = \"./web $PORT\"\n{field}\n");
    let asked = rows("What is asked");
    for (place, listed) in [
        ("ZZZ".to_owned(), rows("At the top")),
        (process("ZZZ"), rows("`[process.NAME]`")),
        (process("health = { tcp = true, ZZZ }"), asked.clone()),
        ("[verify.page]\ntcp = true\nport = 1\nZZZ".into(), [rows("`[verify.NAME]`"), asked].concat()),
        ("[smoke]\nZZZ".into(), rows("`[smoke]`")),
        ("[migrate]\nZZZ".into(), rows("`[migrate]`")),
        ("[traffic]\nZZZ".into(), rows("`[traffic]`")),
        ("[needs]\nZZZ".into(), rows("`[needs]`")),
        ("[config]\nA = { ZZZ }".into(), rows("`[config]`")),
    ] {
        let listed: BTreeSet<String> = listed.into_iter().map(str::to_owned).collect();
        assert_eq!(listed, known(&place), "in {place}");
    }
    let said = wrong("app = \"shop\"\n[package]\ndb = { zzzzzzzz = 1 }");
    assert!(said.ends_with(&format!("known here: {}", rows("`[package]`").join(", "))), "{said}");
}

#[test]
fn the_examples_in_docs_manifest_md_read() {
    let mut examples = PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole = parse(examples.next().unwrap(), "sortie.toml").unwrap();
    assert_eq!((whole.build.as_deref(), whole.paths.len()), (Some("sh make.sh"), 2));
    for example in examples {
        let base = "app = \"web\"\nfiles = \"dist\"\n[process.web]\nrun = \"./web --port $PORT\"\n";
        let text = if example.starts_with("app") { example.to_owned() } else { format!("{base}{example}") };
        parse(&text, "sortie.toml").unwrap_or_else(|error| panic!("{example}\n{error}"));
    }
}
