//! Keys that are held in hardware: FIDO security keys and smart cards, through ssh-agent, up to the machine that checks.

use crate::world::{Output, PROJECT, TEAM, World, read_text, until};
use ssh_agent_lib::{
    proto::{Identity, PublicCredential, Request, Response},
    ssh_key::{
        Algorithm, Signature,
        public::{Ed25519PublicKey, KeyData, SkEd25519},
    },
};
use ssh_encoding::{Decode, Encode};
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};
use trust::{
    Digest,
    key::{Application, PublicKey, SecretKey, Signer},
};

const APPLICATION: &str = "ssh:sortie";

/// An ssh-agent with a FIDO authenticator behind it, whose key never leaves it. There is no such device here: this one
/// signs what OpenSSH's PROTOCOL.u2f says that a device signs, and speaks the protocol of ssh-agent.
struct Device {
    socket: PathBuf,
    public: PublicKey,
    /// Whether somebody touches it when it blinks.
    touched: Arc<AtomicBool>,
}

impl Device {
    fn plug_in(folder: &Path) -> Self {
        let secret = SecretKey::generate().unwrap();
        let bytes = *secret.public().ed25519().unwrap();
        let public = PublicKey::from_sk_ed25519(bytes, Application::new(APPLICATION).unwrap()).unwrap();
        let listed = KeyData::SkEd25519(SkEd25519::new(Ed25519PublicKey(bytes), APPLICATION));
        let (socket, touched) = (folder.join("fido.sock"), Arc::new(AtomicBool::new(true)));
        let listener = UnixListener::bind(&socket).unwrap();
        let finger = touched.clone();
        thread::spawn(move || {
            let counter = AtomicU32::new(0);
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever hangs up in the middle is done with the device.
                let _ = serve(stream, &secret, &listed, &finger, &counter);
            }
        });
        Self { socket, public, touched }
    }
}

fn serve(
    mut stream: UnixStream,
    secret: &SecretKey,
    listed: &KeyData,
    finger: &AtomicBool,
    counter: &AtomicU32,
) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut request)?;
        let credential = PublicCredential::Key(listed.clone());
        let response = match Request::decode(&mut request.as_slice()).unwrap() {
            Request::RequestIdentities => {
                Response::IdentitiesAnswer(vec![Identity { credential, comment: "yubi".into() }])
            }
            Request::SignRequest(asked) if asked.credential == credential => {
                let flags = u8::from(finger.load(Ordering::SeqCst));
                let count = counter.fetch_add(1, Ordering::SeqCst);
                let trailer = [&[flags][..], &count.to_be_bytes()].concat();
                let (application, message) = (Digest::of(APPLICATION.as_bytes()), Digest::of(&asked.data));
                let signed = [application.as_bytes(), trailer.as_slice(), message.as_bytes()].concat();
                let made = [secret.sign(&signed).unwrap(), trailer].concat();
                Response::SignResponse(Signature::new(Algorithm::SkEd25519, made).unwrap())
            }
            _ => Response::Failure,
        };
        let mut answer = Vec::new();
        (response.encoded_len().unwrap() as u32).encode(&mut answer).unwrap();
        response.encode(&mut answer).unwrap();
        stream.write_all(&answer)?;
    }
}

/// OpenSSH's own agent with a P-256 key in it, as a smart card has, and the line of the key.
fn agent_with_card(world: &World, person: &str) -> (PathBuf, crate::world::Ended, String) {
    let (socket, file) = (world.root().join("card.sock"), world.home(person).join(".ssh/card"));
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-C", "card", "-f"]).arg(&file);
    world.run("ssh-keygen".into(), &mut keygen, 0);
    let mut agent = Command::new("ssh-agent");
    agent.arg("-D").arg("-a").arg(&socket);
    let agent = crate::world::Ended::start(&mut agent, &world.root().join("ssh-agent.log"));
    until("ssh-agent", || UnixStream::connect(&socket).ok());
    let mut add = Command::new("ssh-add");
    add.arg("-q").arg(&file).env("SSH_AUTH_SOCK", &socket);
    world.run("ssh-add".into(), &mut add, 0);
    // The agent alone has the private half from now on.
    fs::remove_file(&file).unwrap();
    let line = read_text(&file.with_extension("pub"));
    let line = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    (socket, agent, line)
}

/// Lets a person type `sortie` where an agent runs.
#[track_caller]
fn by_agent(world: &World, person: &str, socket: &Path, exit: i32, line: &str) -> Output {
    let mut command = world.sortie_command(person);
    command.args(line.split(' ')).env("SSH_AUTH_SOCK", socket);
    world.run(format!("{person} with a device $ sortie {line}"), &mut command, exit)
}

/// Prod takes approvals by keys in hardware only. Tester has a FIDO security key, oncall a smart card; keys in files are
/// refused, a device that nobody touches is refused, and the machine itself checks what both signed. Programs of others
/// check it too.
#[test]
fn approvals_by_security_key_and_smart_card() {
    let mut world = World::new();
    let prod = "\n[environments]\nprod = { class = \"live\", approve = \"qa and ops\", deploy = \"ops\" }\n";
    world.found(TEAM, prod);
    world.add_machines(&[("prod-1", "prod")]);
    world.make_repository(PROJECT);
    let version = world.push_and_number();
    let device = Device::plug_in(world.root());
    let (card, _agent, card_line) = agent_with_card(&world, "oncall");
    // The file of a public key names a key of the agent.
    let (named, card_file) = (world.home("tester").join("yubi.pub"), world.home("oncall").join(".ssh/card.pub"));
    fs::write(&named, format!("{} yubi\n", device.public.to_openssh())).unwrap();

    // Owners list the keys, say which are held in hardware, and demand such for prod.
    let charter = world.home("owner").join("charter.toml");
    let key_of = |person: &str| {
        let line = read_text(&world.home(person).join(".ssh/id_ed25519.pub"));
        format!("\"{}\"", line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    };
    let text = read_text(&charter)
        .replace(&key_of("tester"), &format!("{}, \"{}\"", key_of("tester"), device.public.to_openssh()))
        .replace(&key_of("oncall"), &format!("{}, \"{card_line}\"", key_of("oncall")))
        .replace("class = \"live\",", "class = \"live\", hardware = true,");
    fs::write(&charter, &text).unwrap();
    world.sortie("owner", 2, "charter plan").says("nobody in the role ops has one");
    let text = text.replace(&format!("\"{card_line}\""), &format!("{{ key = \"{card_line}\", hardware = true }}"));
    fs::write(&charter, &text).unwrap();
    world
        .sortie("owner", 0, "charter plan")
        .says("tightens  prod: approvals count by keys held in hardware only")
        .says("loosens  oncall gets the key");
    world.sortie("owner", 0, "charter apply --yes");

    world.sortie("coder", 0, &format!("request {version} --to prod"));
    let approve = format!("approve {version} --to prod --yes");
    world.sortie("tester", 3, &approve).says("HARDWARE_KEY_NEEDED").says("held in hardware");
    let touched = format!("{approve} --identity {}", named.display());
    device.touched.store(false, Ordering::SeqCst);
    by_agent(&world, "tester", &device.socket, 1, &touched).says("does not say that somebody touched it");
    device.touched.store(true, Ordering::SeqCst);
    by_agent(&world, "tester", &device.socket, 0, &touched)
        .says("Touch your security key to sign a login: ssh-agent (yubi)")
        .says(&format!("Touch your security key to sign an approval of request 1 for {version} to prod"));
    by_agent(&world, "oncall", &card, 0, &format!("{approve} --identity {}", card_file.display()))
        .says("ops may now deploy");
    world.sortie("oncall", 0, &format!("deploy {version} --to prod")).says("1/1");
    world.sortie("coder", 0, "ledger verify").says("ledger whole");

    // Without the device that the file speaks of there is no signature.
    world.sortie("tester", 2, &format!("{approve} --identity {}", named.display())).says("ssh-agent does not hold it");

    let proof = world.root().join("proof");
    let export = format!("permit export {version} --to prod --out {}", proof.display());
    let estate = world.ask("coder", &export)["estate"].as_str().unwrap().to_string();
    let mut script = world.command("tester", crate::proofs::python());
    script.arg(proof.join("verify.py")).args(["--estate", &estate]);
    world.run("python verify.py".into(), &mut script, 0).says("approved by oncall").says("approved by tester");
    let page = read_text(&proof.join("README.md"));
    let commands: Vec<&str> = page.lines().filter(|line| line.starts_with("openssl ")).collect();
    assert_eq!(commands.len(), 5, "push, number, request and two approvals:\n{page}");
    for line in commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(&proof);
        world.run(line.to_string(), &mut shell, 0);
    }
    // A signature under another flag than the device stated is found by Python as it is by us.
    for file in ["approval-1", "approval-2"] {
        let file = proof.join(format!("statements/{file}.dsse.json"));
        let text = read_text(&file);
        if text.contains("sk-ssh-ed25519@openssh.com") {
            fs::write(&file, text.replace("sk-ssh-ed25519", "sk-ecdsa-sha2-nistp256")).unwrap();
        }
    }
    let mut script = world.command("tester", crate::proofs::python());
    script.arg(proof.join("verify.py")).args(["--estate", &estate]);
    world.run("python verify.py".into(), &mut script, 1).says("nobody of the charter signed this");
}
