//! Graphics hardware and drivers, as the operating system shows them, whether or not they work.

use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// A graphics card on the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GraphicsCard {
    /// `NVIDIA`, `AMD`, `Intel`, or the vendor's number.
    pub vendor: String,
    /// The kernel's driver for it, if one is loaded.
    pub kernel_driver: Option<String>,
}

/// What a GPU needs besides itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drivers {
    /// `linux`, `macos`, `windows`..
    pub system: String,
    /// The distribution's family: `debian`, `fedora`, `arch`, `suse`; empty where there is none.
    pub family: String,
    /// Cards on the bus (Linux).
    pub cards: Vec<GraphicsCard>,
    /// The Vulkan loader library (Linux).
    pub vulkan_loader: Option<PathBuf>,
    /// Files that name Vulkan drivers (Linux).
    pub vulkan_drivers: Vec<PathBuf>,
    /// Device files that this user may not open (Linux).
    pub forbidden: Vec<PathBuf>,
}

/// Looks for hardware and drivers.
pub fn drivers() -> Drivers {
    let system = std::env::consts::OS.to_owned();
    if system != "linux" {
        return Drivers { system, ..Drivers::default() };
    }
    Drivers {
        system,
        family: family(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        cards: cards(Path::new("/sys/bus/pci/devices")),
        vulkan_loader: vulkan_loader(),
        vulkan_drivers: vulkan_drivers(),
        forbidden: forbidden(),
    }
}

/// The distribution family by `/etc/os-release`.
fn family(os_release: &str) -> String {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim_matches('"').to_owned()
    };
    let names = format!("{} {}", value("ID"), value("ID_LIKE"));
    let known = [
        ("debian", "debian"),
        ("ubuntu", "debian"),
        ("fedora", "fedora"),
        ("rhel", "fedora"),
        ("arch", "arch"),
        ("suse", "suse"),
        ("opensuse", "suse"),
    ];
    let found = names.split_whitespace().find_map(|n| known.iter().find(|(name, _)| n == *name));
    found.map_or(String::new(), |(_, family)| (*family).to_owned())
}

/// Devices of the display class on the PCI bus.
fn cards(bus: &Path) -> Vec<GraphicsCard> {
    let mut cards: Vec<(PathBuf, GraphicsCard)> = entries(bus)
        .into_iter()
        .filter_map(|device| {
            let read = |name: &str| fs::read_to_string(device.join(name)).unwrap_or_default();
            // Class 0x03 is display, 0x12 processing accelerators; compute cards are 3D controllers, 0x0302.
            if !read("class").starts_with("0x03") {
                return None;
            }
            let vendor = match read("vendor").trim() {
                "0x10de" => "NVIDIA".to_owned(),
                "0x1002" => "AMD".to_owned(),
                "0x8086" => "Intel".to_owned(),
                // Emulated displays of virtual machines: QEMU, Bochs, Cirrus, VMware.
                "0x1234" | "0x1013" | "0x15ad" => return None,
                other => format!("vendor {other}"),
            };
            let driver = fs::read_link(device.join("driver")).ok();
            let kernel_driver = driver.and_then(|d| Some(d.file_name()?.to_string_lossy().into_owned()));
            Some((device, GraphicsCard { vendor, kernel_driver }))
        })
        .collect();
    cards.sort_by(|a, b| a.0.cmp(&b.0));
    cards.into_iter().map(|(_, card)| card).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect()
}

fn vulkan_loader() -> Option<PathBuf> {
    let arch = std::env::consts::ARCH;
    let usual =
        [format!("/usr/lib/{arch}-linux-gnu"), "/usr/lib64".into(), "/usr/lib".into(), "/lib64".into()];
    let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = std::env::split_paths(&named).chain(usual.into_iter().map(PathBuf::from));
    folders.map(|f| f.join("libvulkan.so.1")).find(|p| p.exists())
}

fn vulkan_drivers() -> Vec<PathBuf> {
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        if let Some(named) = std::env::var_os(variable) {
            return std::env::split_paths(&named).collect();
        }
    }
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let mut files: Vec<PathBuf> = folders.iter().flat_map(|f| entries(Path::new(f))).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    files
}

/// Render nodes that exist but cannot be opened: the user is not in the group `render` or `video`.
fn forbidden() -> Vec<PathBuf> {
    let mut nodes = entries(Path::new("/dev/dri"));
    nodes.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("renderD")));
    nodes.retain(|p| {
        let opened = fs::OpenOptions::new().read(true).write(true).open(p);
        opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    });
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_known_by_their_family() {
        assert_eq!(family("ID=debian\nVERSION_ID=\"12\""), "debian");
        assert_eq!(family("NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\""), "debian");
        assert_eq!(family("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\""), "fedora");
        assert_eq!(family("ID=nixos"), "");
    }

    #[test]
    fn cards_are_read_from_the_bus() {
        let bus = tempfile::tempdir().unwrap();
        for (name, class, vendor) in [
            ("a", "0x030200\n", "0x10de\n"),
            ("b", "0x020000\n", "0x8086\n"),
            ("c", "0x030000\n", "0x1234\n"),
        ] {
            let device = bus.path().join(name);
            fs::create_dir(&device).unwrap();
            fs::write(device.join("class"), class).unwrap();
            fs::write(device.join("vendor"), vendor).unwrap();
        }
        assert_eq!(cards(bus.path()), [GraphicsCard { vendor: "NVIDIA".into(), kernel_driver: None }]);
    }
}
