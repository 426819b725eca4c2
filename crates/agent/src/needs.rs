//! What a build needs of its target, looked at on the target itself before a byte moves (R9). The server knows what a
//! machine was when it joined; what is free, listening, active and installed now, the machine alone knows.

use crate::{
    authorise::Refusal,
    home::{kernel_version, memory_bytes},
};
use domain::sizes::{MEBIBYTE, room};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use trust::{
    AppName,
    manifest::{KernelFeature, Run, kernel_is_at_least},
    names::printable,
};

/// Where programs are looked for, unless a build's own environment says otherwise.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How a unit of the service manager is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// It is active.
    Active,
    /// It is not: this is what it is.
    Inactive(String),
    /// Nobody can tell: this is why.
    Unknown(String),
}

/// What a machine has to offer.
pub trait Surroundings {
    /// Memory that can be had now, in bytes.
    fn memory_bytes(&self) -> u64;
    /// Disk space that can be had now, in bytes.
    fn disk_bytes(&self) -> u64;
    /// The version of its kernel, where it tells.
    fn kernel(&self) -> Option<String>;
    /// Whether its kernel can do this here.
    fn has_feature(&self, feature: KernelFeature) -> bool;
    /// Whether something listens on the port.
    fn is_taken(&self, port: u16) -> bool;
    /// How a unit of its service manager is.
    fn service(&self, name: &str) -> Service;
    /// Whether there is a program of this name in one of the folders of `path`, or at this absolute path.
    fn has_program(&self, name: &str, path: &str) -> bool;
}

/// What it takes to bring a build, besides what the build says.
#[derive(Clone, Debug, Default)]
pub struct Bringing<'a> {
    /// What has still to be written, in bytes.
    pub lacking_bytes: u64,
    /// How many ports it takes that the agent has not given it, and cannot give.
    pub lacking_ports: u32,
    /// Whether it starts beside another build of its application.
    pub is_beside: bool,
    /// The ports among those it needs that its application's own copies listen on.
    pub own_ports: &'a [u16],
    /// Why the list of its copies cannot be written as the machine's owner says, where it has one.
    pub unlisted: Option<String>,
}

/// Refuses what the machine falls short of, with every shortage.
pub fn check(app: &AppName, run: &Run, bringing: &Bringing<'_>, machine: &impl Surroundings) -> Result<(), Refusal> {
    let lacks = shortages(run, bringing, machine);
    if lacks.is_empty() {
        return Ok(());
    }
    Err(Refusal::new("NEEDS_UNMET", format!("{app} needs {}; nothing was copied", lacks.join(" and "))))
}

fn shortages(run: &Run, bringing: &Bringing<'_>, machine: &impl Surroundings) -> Vec<String> {
    let needs = &run.needs;
    let mut lacks = Vec::new();
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    for (wanted, has) in [(&needs.os, os), (&needs.arch, arch)] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != has) {
            lacks.push(format!("{wanted} (this is {has})"));
        }
    }
    let mut amount = |what: &str, wanted: u64, had: u64| {
        if wanted > had {
            let wanted = wanted.div_ceil(MEBIBYTE).saturating_mul(MEBIBYTE);
            lacks.push(format!("{} of {what} ({} are free)", room(wanted), room(had)));
        }
    };
    let memory = if bringing.is_beside { "memory beside what runs, until that ends," } else { "memory" };
    amount(memory, needs.memory_bytes.unwrap_or(0), machine.memory_bytes());
    amount("disk", needs.disk_bytes.unwrap_or(0).saturating_add(bringing.lacking_bytes), machine.disk_bytes());
    if let Some(wanted) = &needs.kernel {
        match machine.kernel() {
            Some(has) if kernel_is_at_least(&has, wanted) => {}
            Some(has) => lacks.push(format!("kernel {wanted} (this is {has})")),
            None => lacks.push(format!("kernel {wanted} (this system does not tell its version)")),
        }
    }
    for feature in needs.kernel_features.iter().filter(|feature| !machine.has_feature(**feature)) {
        lacks.push(format!("{} of the kernel (it is not to be had here)", feature.word()));
    }
    for port in run.fixed_ports() {
        if !bringing.own_ports.contains(&port) && machine.is_taken(port) {
            lacks.push(format!("port {port} (another program listens on it)"));
        }
    }
    if bringing.lacking_ports > 0 {
        let beside = if run.is_blue_green() { ", two for each copy," } else { "" };
        lacks.push(format!(
            "{} more ports{beside} than are free (`sortie agent --ports` gives the agent a wider range)",
            bringing.lacking_ports
        ));
    }
    lacks.extend(bringing.unlisted.iter().map(|why| format!("a list of its copies ({why})")));
    for name in &needs.services {
        match machine.service(name) {
            Service::Active => {}
            Service::Inactive(how) => lacks.push(format!("the service {name} (it is {how} here)")),
            Service::Unknown(why) => lacks.push(format!("the service {name} (whether it is active is unknown: {why})")),
        }
    }
    let path = run.environment.get("PATH").map_or(PATH, String::as_str);
    for name in needs.programs.iter().filter(|name| !machine.has_program(name, path)) {
        let where_not = if name.starts_with('/') { "it is not there" } else { "it is not on the search path" };
        lacks.push(format!("the program {} ({where_not})", printable(name)));
    }
    lacks
}

/// The machine that this program runs on.
#[derive(Clone, Debug)]
pub struct ThisMachine {
    /// A folder on the disk that builds are written to.
    pub folder: PathBuf,
}

impl Surroundings for ThisMachine {
    fn memory_bytes(&self) -> u64 {
        memory_bytes("MemAvailable").unwrap_or(u64::MAX)
    }

    fn disk_bytes(&self) -> u64 {
        depot::disk::free_bytes(&self.folder).unwrap_or(u64::MAX)
    }

    fn kernel(&self) -> Option<String> {
        kernel_version()
    }

    fn has_feature(&self, feature: KernelFeature) -> bool {
        has_feature(Path::new("/"), feature)
    }

    fn is_taken(&self, port: u16) -> bool {
        crate::runtime::is_port_taken(port)
    }

    fn service(&self, name: &str) -> Service {
        // sd_booted(3): that folder is there where systemd is the service manager.
        if !Path::new("/run/systemd/system").is_dir() {
            return Service::Unknown("this machine has no systemd to ask".into());
        }
        let asked = Command::new("systemctl").args(["is-active", "--", name]).stdin(Stdio::null()).output();
        match asked {
            Ok(output) if output.status.success() => Service::Active,
            Ok(output) => {
                let said = printable(String::from_utf8_lossy(&output.stdout).trim());
                Service::Inactive(if said.is_empty() { "not active".into() } else { said })
            }
            Err(error) => Service::Unknown(format!("systemctl cannot be started: {error}")),
        }
    }

    fn has_program(&self, name: &str, path: &str) -> bool {
        // Builds may run as another user than the agent, so that what the agent itself may run says nothing here.
        let somebody_may = |file: &Path| fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o111 != 0);
        finds_program(name, path, somebody_may)
    }
}

/// Whether there is a program of this name in one of the folders of `path`, or at this absolute path, that `may_run` lets run.
pub(crate) fn finds_program(name: &str, path: &str, may_run: impl Fn(&Path) -> bool) -> bool {
    let is_program = |file: PathBuf| file.is_file() && may_run(&file);
    match name.starts_with('/') {
        true => is_program(name.into()),
        false => path.split(':').filter(|folder| folder.starts_with('/')).any(|f| is_program(Path::new(f).join(name))),
    }
}

/// What the kernel whose /proc and /sys lie below `root` tells of itself.
fn has_feature(root: &Path, feature: KernelFeature) -> bool {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    match feature {
        // It lies in the root of a unified hierarchy alone (cgroups(7)).
        KernelFeature::Cgroup2 => root.join("sys/fs/cgroup/cgroup.controllers").exists(),
        KernelFeature::Overlayfs => {
            let is_known = |text: String| text.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
            // A module is loaded by whoever mounts the first one.
            let release = read("proc/sys/kernel/osrelease").unwrap_or_default();
            let modules = read(&format!("lib/modules/{}/modules.dep", release.trim())).unwrap_or_default();
            read("proc/filesystems").is_some_and(is_known) || modules.lines().any(|line| line.contains("/overlay.ko"))
        }
        KernelFeature::IoUring => match number("proc/sys/kernel/io_uring_disabled") {
            Some(disabled) => disabled == 0,
            // Kernels before 6.6 cannot turn it off, and list the call where it was built in.
            None => read("proc/kallsyms").is_some_and(|text| text.contains("sys_io_uring_setup")),
        },
        KernelFeature::Bpf => root.join("proc/sys/kernel/unprivileged_bpf_disabled").exists(),
        KernelFeature::Btf => root.join("sys/kernel/btf/vmlinux").exists(),
        KernelFeature::Userns => {
            // The second is a switch of Debian's kernels, the third of Ubuntu's.
            let is_allowed = |path: &str, allowed: u64| number(path).is_none_or(|is| is == allowed);
            number("proc/sys/user/max_user_namespaces").is_some_and(|most| most > 0)
                && is_allowed("proc/sys/kernel/unprivileged_userns_clone", 1)
                && is_allowed("proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust::manifest::Needs;

    /// A machine with these ports taken, these services and programs, and cgroup2.
    struct Small;

    impl Surroundings for Small {
        fn memory_bytes(&self) -> u64 {
            256 << 20
        }
        fn disk_bytes(&self) -> u64 {
            1 << 30
        }
        fn kernel(&self) -> Option<String> {
            Some("5.4.0-150-generic".into())
        }
        fn has_feature(&self, feature: KernelFeature) -> bool {
            feature == KernelFeature::Cgroup2
        }
        fn is_taken(&self, port: u16) -> bool {
            [80, 443].contains(&port)
        }
        fn service(&self, name: &str) -> Service {
            match name {
                "redis" => Service::Active,
                "postgresql" => Service::Inactive("inactive".into()),
                _ => Service::Unknown("this machine has no systemd to ask".into()),
            }
        }
        fn has_program(&self, name: &str, path: &str) -> bool {
            name == "sh" && path == PATH
        }
    }

    fn needs(change: impl FnOnce(&mut Needs)) -> Run {
        let mut run = Run::default();
        change(&mut run.needs);
        run
    }

    #[test]
    fn r9_every_shortage_is_said_at_once() {
        let run = needs(|needs| {
            needs.memory_bytes = Some(512 << 20);
            needs.kernel = Some("5.10".into());
            needs.kernel_features = [KernelFeature::Cgroup2, KernelFeature::Btf].into();
            needs.ports = [80, 443, 8080].into();
            needs.services = ["redis", "postgresql", "other"].map(str::to_owned).into();
            needs.programs = ["sh", "ffmpeg", "/opt/x"].map(str::to_owned).into();
        });
        let bringing = Bringing { lacking_ports: 2, own_ports: &[443], ..Bringing::default() };
        let said = shortages(&run, &bringing, &Small);
        let expected = [
            "512 MiB of memory (256 MiB are free)",
            "kernel 5.10 (this is 5.4.0-150-generic)",
            "btf of the kernel (it is not to be had here)",
            "port 80 (another program listens on it)",
            "2 more ports than are free (`sortie agent --ports` gives the agent a wider range)",
            "the service other (whether it is active is unknown: this machine has no systemd to ask)",
            "the service postgresql (it is inactive here)",
            "the program /opt/x (it is not there)",
            "the program ffmpeg (it is not on the search path)",
        ];
        assert_eq!(said, expected);
        let beside = Bringing { is_beside: true, ..Bringing::default() };
        let said = shortages(&needs(|needs| needs.memory_bytes = Some(512 << 20)), &beside, &Small);
        assert_eq!(said, ["512 MiB of memory beside what runs, until that ends, (256 MiB are free)"]);
    }

    #[test]
    fn what_it_has_it_does_not_lack() {
        let run = needs(|needs| {
            needs.memory_bytes = Some(256 << 20);
            needs.kernel = Some("5.4".into());
            needs.kernel_features = [KernelFeature::Cgroup2].into();
            needs.ports = [443, 8080].into();
            needs.services = ["redis".to_owned()].into();
            needs.programs = ["sh".to_owned()].into();
        });
        let bringing = Bringing { lacking_bytes: 1 << 30, own_ports: &[443], ..Bringing::default() };
        assert_eq!(shortages(&run, &bringing, &Small), [""; 0]);
    }

    #[test]
    fn a_kernel_tells_by_its_files_what_it_can_do() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let has = |feature| has_feature(root.path(), feature);
        assert!(!KernelFeature::ALL.into_iter().any(has), "a system that tells nothing has nothing");
        write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        write("sys/kernel/btf/vmlinux", "");
        write("proc/filesystems", "nodev\tsysfs\nnodev\toverlay\n\text4\n");
        write("proc/kallsyms", "0000000000000000 T __x64_sys_io_uring_setup\n");
        write("proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
        write("proc/sys/user/max_user_namespaces", "15000\n");
        assert!(KernelFeature::ALL.into_iter().all(has));
        write("proc/sys/kernel/io_uring_disabled", "2\n");
        write("proc/sys/user/max_user_namespaces", "0\n");
        write("proc/filesystems", "nodev\tsysfs\n");
        for feature in [KernelFeature::IoUring, KernelFeature::Userns, KernelFeature::Overlayfs] {
            assert!(!has(feature), "{feature:?}");
        }
        write("proc/sys/kernel/osrelease", "6.1.0-18\n");
        write("lib/modules/6.1.0-18/modules.dep", "kernel/fs/overlayfs/overlay.ko.xz:\n");
        assert!(has(KernelFeature::Overlayfs), "its module is loaded when it is wanted");
    }

    #[test]
    fn programs_are_found_where_they_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let here = ThisMachine { folder: folder.path().into() };
        fs::write(folder.path().join("text"), "").unwrap();
        let path = format!("{PATH}:{}", folder.path().display());
        assert!(here.has_program("sh", PATH) && here.has_program("/bin/sh", ""));
        assert!(!here.has_program("text", &path) && !here.has_program("nobody-has-this", &path));
        assert!(!here.has_program("bin", "/"), "a folder is no program");
    }
}
