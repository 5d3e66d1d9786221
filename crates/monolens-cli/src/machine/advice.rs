//! What is missing for a GPU to be used, and how to get it.

use super::{Drivers, GraphicsCard};
use serde::Serialize;

/// Something missing, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What is missing or wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

fn advice(problem: impl Into<String>, remedy: impl Into<String>) -> Advice {
    Advice { problem: problem.into(), remedy: remedy.into() }
}

/// How a family of distributions installs packages.
fn install(family: &str, debian: &str, fedora: &str, arch: &str, suse: &str) -> String {
    match family {
        "debian" => format!("sudo apt install {debian}"),
        "fedora" => format!("sudo dnf install {fedora}"),
        "arch" => format!("sudo pacman -S {arch}"),
        "suse" => format!("sudo zypper install {suse}"),
        _ => format!("install {debian} (Debian's names) with your package manager"),
    }
}

/// Says what stands between this machine and a working GPU. `real_gpus` is how many the engine sees.
pub fn advise(d: &Drivers, real_gpus: usize) -> Vec<Advice> {
    if real_gpus > 0 {
        return Vec::new();
    }
    match d.system.as_str() {
        "linux" => linux(d),
        "macos" => {
            vec![advice("no Metal device", "Monolens needs a Mac with Metal; the CPU is used instead")]
        }
        "windows" => vec![advice(
            "no Vulkan or DirectX 12 device",
            "install the graphics driver of your card's vendor; the CPU is used until then",
        )],
        _ => Vec::new(),
    }
}

fn linux(d: &Drivers) -> Vec<Advice> {
    let mut all = Vec::new();
    if d.cards.is_empty() {
        all.push(advice("no graphics card on the bus", "nothing to do: without --backend the CPU is used"));
        return all;
    }
    if d.vulkan_loader.is_none() {
        let how = install(&d.family, "libvulkan1", "vulkan-loader", "vulkan-icd-loader", "libvulkan1");
        all.push(advice("the Vulkan loader (libvulkan.so.1) is missing", how));
    }
    for node in &d.forbidden {
        all.push(advice(
            format!("no permission to open {}", node.display()),
            "sudo usermod -aG render,video $USER, then log in again",
        ));
    }
    for card in &d.cards {
        all.extend(for_card(card, d));
    }
    all
}

fn for_card(card: &GraphicsCard, d: &Drivers) -> Option<Advice> {
    let has = |part: &str| {
        d.vulkan_drivers.iter().any(|f| f.file_name().is_some_and(|n| n.to_string_lossy().contains(part)))
    };
    let (driver, how) = match card.vendor.as_str() {
        "NVIDIA" => (
            "nvidia",
            install(&d.family, "nvidia-driver", "akmod-nvidia", "nvidia-utils", "nvidia-video-G06"),
        ),
        "AMD" => (
            "radeon",
            install(
                &d.family,
                "mesa-vulkan-drivers",
                "mesa-vulkan-drivers",
                "vulkan-radeon",
                "libvulkan_radeon",
            ),
        ),
        "Intel" => (
            "intel",
            install(
                &d.family,
                "mesa-vulkan-drivers",
                "mesa-vulkan-drivers",
                "vulkan-intel",
                "libvulkan_intel",
            ),
        ),
        _ => return None,
    };
    if card.kernel_driver.is_none() {
        let problem = format!("the {} card has no kernel driver", card.vendor);
        return Some(advice(problem, format!("{how}, then restart")));
    }
    if !has(driver) && !has("nouveau") {
        return Some(advice(format!("the {} card has no Vulkan driver", card.vendor), how));
    }
    Some(advice(
        format!("the {} card and its Vulkan driver are there, but no device answers", card.vendor),
        "run vulkaninfo --summary (package vulkan-tools) and look for its error; a restart after a driver update helps often",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linux_with(vendor: &str, kernel_driver: Option<&str>) -> Drivers {
        let card = GraphicsCard { vendor: vendor.into(), kernel_driver: kernel_driver.map(str::to_owned) };
        Drivers { system: "linux".into(), family: "debian".into(), cards: vec![card], ..Drivers::default() }
    }

    #[test]
    fn nothing_is_missing_where_a_gpu_works() {
        assert!(advise(&linux_with("AMD", None), 1).is_empty());
    }

    #[test]
    fn loader_and_driver_are_named_with_their_packages() {
        let all = advise(&linux_with("AMD", Some("amdgpu")), 0);
        assert_eq!(all.len(), 2);
        assert!(all[0].remedy.contains("apt install libvulkan1"));
        assert!(all[1].remedy.contains("mesa-vulkan-drivers"));
        let mut fedora = linux_with("Intel", Some("i915"));
        fedora.family = "fedora".into();
        assert!(advise(&fedora, 0)[0].remedy.contains("dnf install vulkan-loader"));
    }

    #[test]
    fn without_a_card_there_is_nothing_to_install() {
        let none = Drivers { system: "linux".into(), ..Drivers::default() };
        assert!(advise(&none, 0)[0].remedy.contains("nothing to do"));
    }
}
