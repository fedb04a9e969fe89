//! [`Function`]: what a plugin is asked, without the type of the call.

use std::any::TypeId;
use std::pin::Pin;
use std::sync::Arc;

use drawspan_wit::{Call, ErrorKind};
use wasmtime::component::ComponentExportIndex;

use crate::LoadError;
use crate::component::{Loaded, one_line};
use crate::instance::{Instance, Template};

/// A function that a plugin is asked.
#[derive(Clone, Copy)]
pub struct Function {
    pub(crate) id: TypeId,
    /// Where it is in a component.
    pub(crate) find: fn(&Loaded) -> Result<ComponentExportIndex, LoadError>,
    /// Compares its types.
    pub(crate) bind: fn(&mut Instance, ComponentExportIndex) -> Result<(), LoadError>,
    /// Asks it once, to see whether it answers.
    pub(crate) check: for<'a> fn(&'a mut Instance, &'a Template, ComponentExportIndex) -> Check<'a>,
}

type Check<'a> = Pin<Box<dyn Future<Output = Result<(), LoadError>> + Send + 'a>>;

impl Function {
    /// The function that answers `C`.
    #[must_use]
    pub fn of<C: Call>() -> Self {
        Self {
            id: TypeId::of::<C>(),
            find: find::<C>,
            bind: bind::<C>,
            check: |i, t, at| Box::pin(check::<C>(i, t, at)),
        }
    }
}

fn find<C: Call>(loaded: &Loaded) -> Result<ComponentExportIndex, LoadError> {
    let parent = loaded.interface(C::MODULE)?;
    loaded.component().get_export_index(Some(&parent), C::FUNCTION).ok_or_else(|| LoadError::Shape {
        interface: C::MODULE.interface(),
        reason: format!("it has no function `{}`", C::FUNCTION),
    })
}

fn bind<C: Call>(instance: &mut Instance, index: ComponentExportIndex) -> Result<(), LoadError> {
    let shape = |error| LoadError::Shape { interface: C::MODULE.interface(), reason: one_line(&error) };
    instance.bind::<C>(index).map(drop).map_err(shape)
}

/// A refusal is an answer too: what the component needs may not be there at the moment.
async fn check<C: Call>(
    instance: &mut Instance,
    template: &Template,
    index: ComponentExportIndex,
) -> Result<(), LoadError> {
    let Some(call) = C::self_check() else { return Ok(()) };
    match instance.call(template, index, Arc::new(call)).await {
        Err(error) if error.kind() != ErrorKind::Refused => Err(LoadError::SelfCheck { function: C::FUNCTION, error }),
        _ => Ok(()),
    }
}
