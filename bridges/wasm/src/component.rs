//! [`Loaded`]: a component that was read, checked and compiled.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use drawspan_wit::{CallError, Module, PACKAGE, VERSIONS};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

use crate::compiled::{Compiled, Digest};
use crate::fetch::FetchError;
use crate::host::{Host, Linked};
use crate::watch::Stamp;
use crate::{Engine, http, keyvalue};

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
    /// It can't be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
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
    /// It needs what the operator has to grant.
    #[error("it imports {import}; {remedy}")]
    Grant {
        /// What it needs.
        import: String,
        /// What to do about it.
        remedy: &'static str,
    },
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
    /// It started, and fails when it is asked. Only a file that replaces another is asked before it serves.
    #[error("it fails when it is asked `{function}`: {error}")]
    SelfCheck {
        /// What it was asked.
        function: &'static str,
        /// How it failed.
        error: CallError,
    },
}

/// What a component's file says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The modules that it can serve, in the order of [`Module::ALL`], each with the version of the contract, e.g. `0.1.0`. A
    /// version that isn't in [`VERSIONS`] can't be loaded here.
    pub exports: Vec<(Module, String)>,
    /// Whether it reads its configuration by `lifecycle.init`.
    pub lifecycle: bool,
    /// The interfaces that it needs, e.g. `wasi:keyvalue/store@0.2.0-draft`, without those of the contract itself.
    pub imports: Vec<String>,
    /// The file's size in bytes.
    pub size: u64,
    /// The file's SHA-256 as 64 hexadecimal digits, as the config's `sha256` wants it.
    pub sha256: String,
}

/// Looks at the component in the file `path` without running any of it. Takes seconds for a large one that isn't in the cache.
///
/// # Errors
/// When the file can't be read or isn't a component. What a component imports or exports is never an error here.
pub fn inspect(engine: &Engine, path: &Path) -> Result<Inspection, LoadError> {
    let file = File::read(engine, path, None)?;
    let component = &file.compiled.component;
    let ours = exports(component);
    let version = |interface: &str| {
        ours.iter().find_map(|name| name.strip_prefix(interface)?.strip_prefix('@')).map(str::to_owned)
    };
    Ok(Inspection {
        exports: Module::ALL.into_iter().filter_map(|module| Some((module, version(module.interface())?))).collect(),
        lifecycle: version("lifecycle").is_some(),
        imports: imports(component),
        size: file.size,
        sha256: hex(&file.sha256),
    })
}

/// A component's file, read and compiled.
struct File {
    compiled: Compiled,
    size: u64,
    sha256: Digest,
    stamp: Stamp,
}

impl File {
    fn read(engine: &Engine, path: &Path, wanted: Option<Digest>) -> Result<Self, LoadError> {
        let (bytes, stamp) = bytes(path).map_err(|source| LoadError::Read { path: path.into(), source })?;
        let sha256 = Digest::from(Sha256::digest(&bytes));
        if let Some(wanted) = wanted.filter(|wanted| *wanted != sha256) {
            return Err(LoadError::Digest { found: hex(&sha256), wanted: hex(&wanted) });
        }
        // `\0asm`, then version and layer: 1 and 0 for a core module, 13 and 1 for a component.
        match bytes.get(..8) {
            Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => return Err(LoadError::CoreModule),
            Some([0, b'a', b's', b'm', ..]) => {}
            _ => return Err(LoadError::NotWasm),
        }
        let compiled = engine.compiler().compile(engine.wasmtime(), &bytes, sha256)?;
        Ok(Self { compiled, size: bytes.len() as u64, sha256, stamp })
    }
}

/// The bytes of a file that nobody writes to meanwhile.
fn bytes(path: &Path) -> io::Result<(Vec<u8>, Stamp)> {
    // Opening a pipe would wait for its other end, so look before.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut file = std::fs::File::open(path)?;
    let stamp = Stamp::from(file.metadata()?);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    if Stamp::from(file.metadata()?) != stamp {
        return Err(io::Error::other("it was written to while it was read; try again"));
    }
    Ok((bytes, stamp))
}

/// A component that was read, checked and compiled, ready to be instantiated.
pub(crate) struct Loaded {
    compiled: Compiled,
    pub(crate) pre: InstancePre<Host>,
    pub(crate) sha256: Digest,
    pub(crate) stamp: Stamp,
}

impl Loaded {
    /// Takes seconds for a large component that isn't in the cache: not for a thread that serves connections.
    pub(crate) fn read(
        engine: &Engine,
        path: &Path,
        sha256: Option<Digest>,
        linked: Linked,
    ) -> Result<Self, LoadError> {
        let File { compiled, sha256, stamp, .. } = File::read(engine, path, sha256)?;
        let component = &compiled.component;
        granted(component, linked)?;
        let pre = linker(engine, linked)
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| LoadError::Imports(one_line(&error)))?;
        Ok(Self { compiled, pre, sha256, stamp })
    }

    pub(crate) fn component(&self) -> &Component {
        &self.compiled.component
    }

    /// The interface that answers for `module`, of the newest version known here.
    pub(crate) fn interface(&self, module: Module) -> Result<ComponentExportIndex, LoadError> {
        let interface = module.interface();
        for version in VERSIONS {
            let name = format!("{PACKAGE}/{interface}@{version}");
            if let Some(index) = self.component().get_export_index(None, name.as_str()) {
                return Ok(index);
            }
        }
        let exports = exports(self.component());
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
            let lifecycle = self.component().get_export_index(None, name.as_str())?;
            self.component().get_export_index(Some(&lifecycle), "init")
        })
    }
}

/// The interfaces of our package that it exports, as `name@version`.
fn exports(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let names = ty.exports(component.engine());
    names.filter_map(|(name, _)| name.strip_prefix(PACKAGE)?.strip_prefix('/').map(str::to_owned)).collect()
}

/// What it imports besides the types of our package, which every component imports and nobody has to provide.
fn imports(component: &Component) -> Vec<String> {
    let ty = component.component_type();
    let names = ty.imports(component.engine()).map(|(name, _)| name.to_owned());
    names.filter(|name| !name.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with('/'))).collect()
}

/// Refuses what isn't linked without a grant, and says how to grant it.
fn granted(component: &Component, linked: Linked) -> Result<(), LoadError> {
    for import in imports(component) {
        let remedy = if import.starts_with(http::PACKAGE) {
            if linked.http {
                continue;
            }
            "add `httpHosts: [example.com]` to the plugin block, with the hosts that it may ask"
        } else if !import.starts_with(keyvalue::PACKAGE) {
            continue;
        } else if !import.ends_with(keyvalue::VERSION) {
            "of wasi:keyvalue this gateway knows 0.2.0-draft only"
        } else if !linked.keyvalue {
            "add `keyvalue: {default: {type: memory}}` to the plugin block"
        } else {
            continue;
        };
        return Err(LoadError::Grant { import, remedy });
    }
    Ok(())
}

/// What everybody may import, and what was granted.
fn linker(engine: &Engine, linked: Linked) -> wasmtime::Result<Linker<Host>> {
    let mut linker = engine.linker().clone();
    if linked.http {
        http::add_to_linker(&mut linker)?;
    }
    if linked.keyvalue {
        keyvalue::add_to_linker(&mut linker)?;
    }
    Ok(linker)
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

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
