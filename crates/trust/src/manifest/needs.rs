//! What a target must be and have before anything of a build is brought to it (R9).

use super::{ManifestError, Run};
use crate::names::printable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most that may be named of one kind.
const MOST: usize = 64;
/// The longest name of a service or program, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// What a target must be and have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needs {
    /// Operating system (`linux`).
    pub os: Option<String>,
    /// Processor architecture (`x86_64`, `aarch64`).
    pub arch: Option<String>,
    /// Free memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Free disk space in bytes, besides the build itself.
    pub disk_bytes: Option<u64>,
    /// The least version of the kernel (`5.10`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// What the kernel must be able to do there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kernel_features: BTreeSet<KernelFeature>,
    /// Ports that nobody else listens on; the fixed ports of processes are among them anyhow.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<u16>,
    /// The units of its service manager that must be active (`postgresql`).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<String>,
    /// Programs that must be found: on the search path of the build's processes, or at an absolute path.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub programs: BTreeSet<String>,
}

/// What a kernel can do. Only what it tells by itself is listed here, under /proc or /sys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelFeature {
    /// The unified hierarchy of control groups is mounted.
    Cgroup2,
    /// File systems can be laid over one another.
    Overlayfs,
    /// Requests for I/O can be queued by any process (io_uring(7)).
    IoUring,
    /// Programs can be loaded into the kernel (bpf(2)).
    Bpf,
    /// The kernel tells the types of its data, which portable BPF programs need.
    Btf,
    /// Whoever is not root can make user namespaces.
    Userns,
}

impl KernelFeature {
    /// All there are.
    pub const ALL: [KernelFeature; 6] = [
        KernelFeature::Cgroup2,
        KernelFeature::Overlayfs,
        KernelFeature::IoUring,
        KernelFeature::Bpf,
        KernelFeature::Btf,
        KernelFeature::Userns,
    ];

    /// Its word, as manifests and sortie.toml have it.
    pub fn word(self) -> &'static str {
        match self {
            KernelFeature::Cgroup2 => "cgroup2",
            KernelFeature::Overlayfs => "overlayfs",
            KernelFeature::IoUring => "io_uring",
            KernelFeature::Bpf => "bpf",
            KernelFeature::Btf => "btf",
            KernelFeature::Userns => "userns",
        }
    }
}

/// The numbers that a version of a kernel begins with: 6, 1 and 0 of `6.1.0-18-amd64`; none where it begins otherwise.
pub fn kernel_numbers(version: &str) -> Vec<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    version[..end].split('.').map_while(|part| part.parse().ok()).collect()
}

/// Whether a kernel of version `found` is at least `wanted`. What is left out at the end counts as 0.
pub fn kernel_is_at_least(found: &str, wanted: &str) -> bool {
    let (mut found, mut wanted) = (kernel_numbers(found), kernel_numbers(wanted));
    let length = found.len().max(wanted.len());
    found.resize(length, 0);
    wanted.resize(length, 0);
    found >= wanted
}

impl Run {
    /// The ports that nobody else may listen on: those it names, and the fixed ones of its processes.
    pub fn fixed_ports(&self) -> BTreeSet<u16> {
        let fixed = self.processes.values().filter_map(|process| process.port);
        self.needs.ports.iter().copied().chain(fixed).collect()
    }

    /// Checks what the types of this module do not carry.
    pub(super) fn validate_needs(&self) -> Result<(), ManifestError> {
        let wrong = |text: String| Err(ManifestError::Run(format!("needs: {text}")));
        let Needs { kernel, ports, services, programs, .. } = &self.needs;
        if [ports.len(), services.len(), programs.len()].into_iter().any(|count| count > MOST) {
            return wrong(format!("more than {MOST} ports, services or programs"));
        }
        if ports.contains(&0) {
            return wrong("0 is no port".into());
        }
        if let Some(kernel) = kernel {
            let is_plain = kernel.split('.').all(|part| part.parse::<u32>().is_ok_and(|n| n.to_string() == part));
            if !is_plain || kernel_numbers(kernel).len() > 4 {
                return wrong(format!("'{}' is no version of a kernel; write kernel = \"5.10\"", printable(kernel)));
            }
        }
        let is_unit = |name: &&String| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b":_.@\\-".contains(&b);
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.starts_with('-') && name.bytes().all(plain)
        };
        if let Some(name) = services.iter().find(|name| !is_unit(name)) {
            return wrong(format!("'{}' cannot name a service; write services = [\"postgresql\"]", printable(name)));
        }
        let is_program = |name: &&String| {
            let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains(char::is_control);
            fits && (name.starts_with('/') || !name.contains('/'))
        };
        match programs.iter().find(|name| !is_program(name)) {
            Some(name) => wrong(format!(
                "'{}' must be a program's name, as \"ffmpeg\", or its absolute path; what is in the build is there anyhow",
                printable(name)
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn versions_of_kernels_compare_by_their_numbers() {
        for (found, wanted, expected) in [
            ("6.1.0-18-amd64", "5.10", true),
            ("5.10.0", "5.10", true),
            ("5.10", "5.10.0", true),
            ("5.9.16-arch1", "5.10", false),
            ("4.18.0-553.el8.x86_64", "4.18.1", false),
            ("6.18.44-fc-v669", "6.18.44", true),
            ("", "2.6", false),
        ] {
            assert_eq!(kernel_is_at_least(found, wanted), expected, "{found} against {wanted}");
        }
    }

    /// A build's digest is of its manifest: what manifests could say before is written as it always was.
    #[test]
    fn what_needs_nothing_more_is_written_as_it_was() {
        let before = br#"{"arch":null,"disk_bytes":null,"memory_bytes":null,"os":"linux"}"#;
        let needs: Needs = json::from_strict(before).unwrap();
        assert_eq!(json::sorted(&needs).unwrap(), before);
    }

    #[test]
    fn features_have_one_word_each() {
        for feature in KernelFeature::ALL {
            let word: String = serde_json::from_value(serde_json::to_value(feature).unwrap()).unwrap();
            assert_eq!(word, feature.word());
        }
    }
}
