//! [`Loaded`]: a component that was read, checked and compiled.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use drawspan_wit::{Module, PACKAGE, VERSIONS};
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

use crate::Engine;
use crate::host::Host;

/// Why a component can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file isn't the one that the config pins.
    #[error("its sha256 is {found}, the config wants {wanted}; if the file was replaced on purpose, change `sha256`")]
    Digest {
        /// What the file has.
        found: String,
        /// What the config says.
        wanted: String,
    },
    /// Not WebAssembly at all.
    #[error("not a WebAssembly component: the file does not begin as one")]
    NotWasm,
    /// A core module.
    #[error("a core module, not a component; build it for wasm32-wasip2, or wrap it with `wasm-tools component new`")]
    CoreModule,
    /// Damaged, or of a kind that isn't supported.
    #[error("not a valid component, perhaps cut short: {0}")]
    Invalid(String),
    /// It needs something that it isn't given.
    #[error("it imports what it is not given: {0}")]
    Imports(String),
    /// It doesn't answer for this module.
    #[error("it does not export {PACKAGE}/{wanted}, which {} asks; it exports {found}", .module.as_str())]
    NotExported {
        /// The module that was configured.
        module: Module,
        /// The interface that the module asks.
        wanted: &'static str,
        /// What it exports instead.
        found: String,
    },
    /// It was built for a version of the contract that isn't known here.
    #[error("it was built for {PACKAGE}/{interface}@{found}; this gateway knows {}", VERSIONS.join(", "))]
    Version {
        /// The interface.
        interface: &'static str,
        /// The version that it was built for.
        found: String,
    },
    /// The functions aren't of the right types.
    #[error("its {interface} does not fit: {reason}")]
    Shape {
        /// The interface.
        interface: &'static str,
        /// What differs.
        reason: String,
    },
    /// An instance could not be started.
    #[error("it could not be started: {0}")]
    Start(String),
}

/// A component that was read, checked and compiled, ready to be instantiated.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    pub(crate) pre: InstancePre<Host>,
}

impl Loaded {
    /// Takes seconds for a large component that isn't in the cache: not for a thread that serves connections.
    pub(crate) fn read(engine: &Engine, path: &Path, sha256: Option<&str>) -> Result<Self, LoadError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
        let digest = hex(&Sha256::digest(&bytes));
        if let Some(wanted) = sha256
            && !wanted.eq_ignore_ascii_case(&digest)
        {
            return Err(LoadError::Digest { found: digest, wanted: wanted.into() });
        }
        // `\0asm`, then version and layer: 1 and 0 for a core module, 13 and 1 for a component.
        match bytes.get(..8) {
            Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => return Err(LoadError::CoreModule),
            Some([0, b'a', b's', b'm', ..]) => {}
            _ => return Err(LoadError::NotWasm),
        }
        let cached = engine.cache().and_then(|cache| cache.get(engine.wasmtime(), &digest));
        let component = match cached {
            Some(component) => component,
            None => {
                let component = Component::from_binary(engine.wasmtime(), &bytes)
                    .map_err(|error| LoadError::Invalid(one_line(&error)))?;
                if let Some(cache) = engine.cache() {
                    cache.put(&component, &digest);
                }
                component
            }
        };
        let pre = engine.linker().instantiate_pre(&component).map_err(|error| LoadError::Imports(one_line(&error)))?;
        Ok(Self { component, pre })
    }

    /// The interface that answers for `module`, of the newest version known here.
    pub(crate) fn interface(&self, module: Module) -> Result<ComponentExportIndex, LoadError> {
        let interface = module.interface();
        for version in VERSIONS {
            let name = format!("{PACKAGE}/{interface}@{version}");
            if let Some(index) = self.component.get_export_index(None, name.as_str()) {
                return Ok(index);
            }
        }
        let exports = self.exports();
        let other = exports.iter().find_map(|name| name.strip_prefix(interface)?.strip_prefix('@'));
        Err(match other {
            Some(found) => LoadError::Version { interface, found: found.into() },
            None => LoadError::NotExported {
                module,
                wanted: interface,
                found: if exports.is_empty() { format!("nothing of {PACKAGE}") } else { exports.join(", ") },
            },
        })
    }

    /// `lifecycle.init`, if it is exported.
    pub(crate) fn init(&self) -> Option<ComponentExportIndex> {
        VERSIONS.iter().find_map(|version| {
            let name = format!("{PACKAGE}/lifecycle@{version}");
            let lifecycle = self.component.get_export_index(None, name.as_str())?;
            self.component.get_export_index(Some(&lifecycle), "init")
        })
    }

    /// The interfaces of our package that it exports, as `name@version`.
    fn exports(&self) -> Vec<String> {
        let ty = self.component.component_type();
        let names = ty.exports(self.component.engine());
        names.filter_map(|(name, _)| name.strip_prefix(PACKAGE)?.strip_prefix('/').map(str::to_owned)).collect()
    }
}

/// An error and its causes in one line, without the backtrace of the guest.
pub(crate) fn one_line(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.contains("wasm backtrace")) {
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text.replace('\n', " ")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
