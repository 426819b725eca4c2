//! Builds, and what people sign about them.

use super::{
    app, coder,
    estate::{estate_digest, far},
    oncall, prod, tester,
};
use domain::plan::Assignment;
use jiff::{SignedDuration, Timestamp};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};
use trust::{
    AppName, AudienceName, Digest, Version,
    authority::{Dossier, PackageDossier},
    config::{ConfigDocument, ConfigValue},
    dsse::Envelope,
    freeze::{Freeze, Lift, Terms},
    key::SecretKey,
    manifest::{ConfigKey, Entry, FORMAT, Manifest, Member, Migrate, Process, Run, StopSignal, Traffic},
    statement::{
        Act, Approval, Config, Header, Number, Order, OrderAct, Push, Request, RequestId, Statement, Withdrawal,
    },
    way::Way,
};

fn sign(subject: Digest, act: Act, signer: &SecretKey) -> Envelope {
    sign_until(far(), subject, act, signer)
}

/// The same, to be submitted until then.
fn sign_until(submit_before: Timestamp, subject: Digest, act: Act, signer: &SecretKey) -> Envelope {
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    let count = COUNT.with(|count| count.replace(count.get() + 1));
    let header = Header {
        estate: estate_digest(),
        request_id: RequestId::new(format!("test:{count}")).unwrap(),
        submit_before,
        on_behalf_of: None,
    };
    Statement { subject_name: "test".into(), subject, header, act }.sign(&[signer]).unwrap()
}

/// A build whose one file says `content`.
pub fn manifest(content: &str) -> Manifest {
    let process = Process {
        run: vec!["./web".into()],
        copies: 1,
        port: None,
        health: None,
        stop_signal: StopSignal::Term,
        stop_seconds: 5,
        socket: None,
    };
    let mut run = Run { processes: [("web".to_owned(), process)].into(), ..Run::default() };
    run.config.insert("LEVEL".into(), ConfigKey { secret: false, default: Some("info".into()) });
    let file = Entry::File {
        path: "web".into(),
        executable: true,
        size: content.len() as u64,
        digest: Digest::of(content.as_bytes()),
    };
    // The builds that change data: one that can take that back, and one that cannot.
    let command = |word: &str| vec!["./migrate".to_owned(), word.to_owned()];
    let undo = (content == "both ways").then(|| command("down"));
    if ["both ways", "one way"].contains(&content) {
        run.migrate = Some(Migrate { run: command("up"), undo, process: None, within_seconds: 60 });
    }
    // The builds that can stand by.
    if ["blue", "green"].contains(&content) {
        let program = |word: &str| Some(vec![format!("./{word}")]);
        let (drain, back) = (program("drain"), program("back"));
        run.traffic = Some(Traffic { upstream: None, drain, back, drain_seconds: 0, switch: None });
        run.processes.values_mut().for_each(|process| process.run.push("$PORT".into()));
    }
    // The builds that this machine is not fit for.
    match content {
        "for another processor" => run.needs.arch = Some("pdp11".into()),
        "for another system" => run.needs.os = Some("plan9".into()),
        "too much memory" => run.needs.memory_bytes = Some(1 << 60),
        "too much room" => run.needs.disk_bytes = Some(1 << 60),
        "a kernel to come" => run.needs.kernel = Some("99.1".into()),
        "a service that nobody has" => run.needs.services = ["nobody-has-this".to_owned()].into(),
        "a program that nobody has" => run.needs.programs = ["nobody-has-this".to_owned()].into(),
        _ => {}
    }
    Manifest { format: trust::manifest::FORMAT, app: app(), files: vec![file], run }
}

/// The builds that this machine is not fit for.
pub const UNFIT: [&str; 7] = [
    "for another processor",
    "for another system",
    "too much memory",
    "too much room",
    "a kernel to come",
    "a service that nobody has",
    "a program that nobody has",
];

pub fn build(content: &str) -> Digest {
    Digest::of(&manifest(content).to_bytes().unwrap())
}

pub fn order(content: &str, act: OrderAct) -> Envelope {
    order_in(content, act, prod())
}

pub fn order_in(content: &str, act: OrderAct, environment: AudienceName) -> Envelope {
    order_of(build(content), act, environment)
}

pub fn order_of(build: Digest, act: OrderAct, environment: AudienceName) -> Envelope {
    sign(build, Act::Order(Order::new(app(), environment, act)), &oncall())
}

/// An order in prod that says that the data stays.
pub fn order_keeping_data(build: Digest, act: OrderAct) -> Envelope {
    let order = Order { keep_data: true, ..Order::new(app(), prod(), act) };
    sign(build, Act::Order(order), &oncall())
}

/// An order in prod that could be submitted until so many hours from now.
pub fn order_until(hours: i64, content: &str, act: OrderAct) -> Envelope {
    let order = Order::new(app(), prod(), act);
    sign_until(Timestamp::now() + SignedDuration::from_hours(hours), build(content), Act::Order(order), &oncall())
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Everything that lets a build into prod, with the order.
pub fn released(content: &str, number: &str, act: OrderAct) -> Dossier {
    let order = order(content, act);
    Dossier { order: Some(order), ..permitted(build(content), number) }
}

/// Everything that lets a build into prod, without an order.
pub fn permitted(build: Digest, number: &str) -> Dossier {
    let version = version(number);
    let push = Push { app: app(), commit: None, recipe: None, makers: vec![] };
    let request = Request {
        app: app(),
        version: version.clone(),
        audience: prod(),
        way: Way::Normal,
        reason: None,
        charter_version: 1,
        requires: "qa and ops".parse().unwrap(),
        serial: 1,
        not_before: Timestamp::now() - SignedDuration::from_hours(1),
        not_after: far(),
        floor: None,
    };
    let request = sign(build, Act::Request(request), &coder());
    let approve = |signer: SecretKey| {
        let approval = Approval { app: app(), version: version.clone(), audience: prod() };
        sign(Digest::of(&request.payload), Act::Approval(approval), &signer)
    };
    Dossier {
        push: Some(sign(build, Act::Push(push), &coder())),
        number: Some(sign(build, Act::Number(Number { app: app(), version: version.clone() }), &coder())),
        approvals: vec![approve(tester()), approve(oncall())],
        request: Some(request),
        ..Dossier::default()
    }
}

pub fn withdrawal(content: &str, number: &str) -> Envelope {
    let version = version(number);
    let act = Withdrawal { app: app(), version, audience: prod(), through_serial: 1, reason: None };
    sign(build(content), Act::Withdrawal(act), &tester())
}

/// A package that lists a build as `web` of this number, released to prod by the same people.
fn package(content: &str, number: &str) -> (Digest, PackageDossier) {
    let (shop, version): (AppName, Version) = ("shop".parse().unwrap(), version(number));
    let member = Member { version: version.clone(), build: build(content), after: BTreeSet::new() };
    let run = Run { package: BTreeMap::from([(app(), member)]), ..Run::default() };
    let manifest = Manifest { format: FORMAT, app: shop.clone(), files: vec![], run }.to_bytes().unwrap();
    let digest = Digest::of(&manifest);
    let Dossier { request, .. } = permitted(digest, number);
    let Act::Request(request) = Statement::read(&request.unwrap()).unwrap().act else { panic!("a request") };
    let request = sign(digest, Act::Request(Request { app: shop.clone(), ..request }), &coder());
    let approve = |signer: SecretKey| {
        let approval = Approval { app: shop.clone(), version: version.clone(), audience: prod() };
        sign(Digest::of(&request.payload), Act::Approval(approval), &signer)
    };
    let push = Push { app: shop.clone(), commit: None, recipe: None, makers: vec![] };
    let package = PackageDossier {
        manifest: String::from_utf8(manifest).unwrap(),
        push: Some(sign(digest, Act::Push(push), &coder())),
        number: Some(sign(digest, Act::Number(Number { app: shop.clone(), version: version.clone() }), &coder())),
        approvals: vec![approve(tester()), approve(oncall())],
        request: Some(request),
    };
    (digest, package)
}

/// What a target gets for the member of a package, by the package's order.
pub fn brought(content: &str, number: &str) -> Dossier {
    let (digest, package) = package(content, number);
    let order = Order::new("shop".parse().unwrap(), prod(), OrderAct::Deploy);
    let order = Some(sign(digest, Act::Order(order), &oncall()));
    Dossier { request: None, approvals: vec![], order, package: Some(package), ..permitted(build(content), number) }
}

/// The withdrawal of a package.
pub fn withdrawal_of_package(content: &str, number: &str) -> Envelope {
    let (digest, _) = package(content, number);
    let (app, version) = ("shop".parse().unwrap(), version(number));
    let act = Withdrawal { app, version, audience: prod(), through_serial: 1, reason: None };
    sign(digest, Act::Withdrawal(act), &tester())
}

/// A freeze of prod.
pub fn freeze(from: Timestamp, until: Timestamp, signer: &SecretKey) -> Envelope {
    let reason = Digest::of(b"holidays");
    let terms = Terms { environments: [prod()].into(), apps: BTreeSet::new(), from, until, reason };
    sign(estate_digest(), Act::Freeze(Freeze::Declare(terms)), signer)
}

/// The end of it, before its time.
pub fn lift(freeze: &Envelope, signer: &SecretKey) -> Envelope {
    sign(Digest::of(&freeze.payload), Act::Freeze(Freeze::Lift(Lift { reason: None })), signer)
}

/// A config set: its document's bytes and the statement over them.
pub fn config(serial: u64, level: &str) -> (Vec<u8>, Envelope) {
    let document = ConfigDocument {
        app: app(),
        environment: prod(),
        values: [("LEVEL".to_owned(), ConfigValue::Plain(level.into()))].into(),
        salt: "00".into(),
    };
    let bytes = document.to_bytes().unwrap();
    let act = Config {
        app: app(),
        environment: prod(),
        serial,
        keys: [("LEVEL".to_owned(), false)].into(),
        recipients: BTreeSet::new(),
    };
    let envelope = sign(Digest::of(&bytes), Act::Config(act), &oncall());
    (bytes, envelope)
}

pub fn assignment(generation: u64, content: &str, act: OrderAct) -> Assignment {
    Assignment {
        epoch: 1,
        generation,
        deployment: generation,
        app: app(),
        environment: prod(),
        act,
        undo: false,
        build: build(content),
        version: None,
        config: None,
        migrate: None,
    }
}
