//! [`Instance`]: one running copy of a component.

use std::any::{Any, TypeId};
use std::sync::Arc;

use drawspan_wit::lifecycle::InitRequest;
use drawspan_wit::types::PluginError;
use drawspan_wit::{Call, CallError, ErrorKind, Refusal};
use wasmtime::component::{ComponentExportIndex, TypedFunc};
use wasmtime::{Store, Trap};

use crate::Engine;
use crate::component::{Loaded, one_line};
use crate::host::{Grants, Host, LimitReached};

/// Guest code may run for two ticks, so for one millisecond at least, before it yields for the first time.
pub(crate) const FIRST_SLICE: u32 = 2;

/// The typed function of a call.
type Function<C> = TypedFunc<(Arc<C>,), (Result<<C as Call>::Reply, PluginError>,)>;
type Init = TypedFunc<(InitRequest,), (Result<(), PluginError>,)>;

/// What every instance of one plugin is made from.
pub(crate) struct Template {
    pub(crate) engine: Engine,
    pub(crate) loaded: Loaded,
    pub(crate) grants: Arc<Grants>,
    pub(crate) init: Option<(ComponentExportIndex, InitRequest)>,
    /// The largest reply, in bytes.
    pub(crate) max_reply: usize,
}

/// One running copy of a component. It serves one call at a time, and is of no use any more once a call on it trapped or was
/// dropped half-way: whoever holds it then lets go of it.
pub(crate) struct Instance {
    store: Store<Host>,
    instance: wasmtime::component::Instance,
    /// The functions that were bound so far; there are one to four.
    functions: Vec<(TypeId, Box<dyn Any + Send>)>,
    pub(crate) calls: u64,
}

impl Instance {
    /// Instantiates, and runs `lifecycle.init`. Yields like any guest code.
    pub(crate) async fn start(template: &Template) -> Result<Self, CallError> {
        let _busy = template.engine.busy();
        let host = Host::new(Arc::clone(&template.grants)).map_err(|error| trapped(&error))?;
        let mut store = Store::new(template.engine.wasmtime(), host);
        store.limiter(Host::limits);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(FIRST_SLICE.into());
        store.set_hostcall_fuel(template.max_reply);
        let instance = template.loaded.pre.instantiate_async(&mut store).await.map_err(|error| trapped(&error))?;
        if let Some((index, request)) = &template.init {
            let init: Init = instance.get_typed_func(&mut store, index).map_err(|error| {
                CallError::new(ErrorKind::BadReply, format!("lifecycle.init: {}", one_line(&error)))
            })?;
            let (result,) = init.call_async(&mut store, (request.clone(),)).await.map_err(|error| trapped(&error))?;
            result.map_err(|error| refused("lifecycle.init", error))?;
        }
        Ok(Self { store, instance, functions: Vec::new(), calls: 0 })
    }

    /// Binds the function of `C`, whose types are compared here.
    pub(crate) fn bind<C: Call>(&mut self, index: ComponentExportIndex) -> wasmtime::Result<Function<C>> {
        let id = TypeId::of::<C>();
        if let Some(function) =
            self.functions.iter().find(|(of, _)| *of == id).and_then(|(_, f)| f.downcast_ref::<Function<C>>())
        {
            return Ok(*function);
        }
        let function =
            self.instance.get_typed_func::<(Arc<C>,), (Result<C::Reply, PluginError>,)>(&mut self.store, index)?;
        self.functions.push((id, Box::new(function)));
        Ok(function)
    }

    /// Asks. On an error other than [`ErrorKind::Refused`] the instance is dead.
    pub(crate) async fn call<C: Call>(
        &mut self,
        template: &Template,
        index: ComponentExportIndex,
        call: Arc<C>,
    ) -> Result<C::Reply, CallError> {
        let _busy = template.engine.busy();
        let function = self.bind::<C>(index).map_err(|error| CallError::new(ErrorKind::BadReply, one_line(&error)))?;
        self.calls += 1;
        self.store.set_epoch_deadline(FIRST_SLICE.into());
        self.store.set_hostcall_fuel(template.max_reply);
        let (result,) = function.call_async(&mut self.store, (call,)).await.map_err(|error| {
            // wasmtime has no type for this one.
            if one_line(&error).contains("fuel allocated for hostcalls") {
                let reason = format!(
                    "the reply, or what it passes to the host, is larger than {} bytes (maxReply)",
                    template.max_reply
                );
                return CallError::new(ErrorKind::BadReply, reason);
            }
            trapped(&error)
        })?;
        result.map_err(|error| refused(C::FUNCTION, error))
    }
}

/// A call that ended without a reply: by a trap, a limit, or a reply that can't be lifted.
fn trapped(error: &wasmtime::Error) -> CallError {
    let is_trap = error.is::<Trap>() || error.is::<LimitReached>();
    let kind = if is_trap { ErrorKind::Trapped } else { ErrorKind::BadReply };
    CallError::new(kind, format!("the component failed: {}", one_line(error)))
}

fn refused(function: &str, error: PluginError) -> CallError {
    let (refusal, what, text) = match error {
        PluginError::InvalidRequest(text) => (Refusal::InvalidRequest, "invalid request", text),
        PluginError::Unavailable(text) => (Refusal::Unavailable, "unavailable", text),
        PluginError::Failed(text) => (Refusal::Failed, "failed", text),
    };
    let text: String = text.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect();
    CallError::refused(refusal, format!("{function} answered {what}: {text}"))
}
