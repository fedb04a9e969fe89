//! The functions of a module, as the WIT text has them: what the languages' sources are written from.

use anyhow::{Context as _, bail};
use drawspan_wit::{Module, PACKAGE, SOURCES, VERSIONS};
use wit_bindgen_core::wit_parser::{Function, Resolve, Type, TypeDefKind};

/// A function of a module's interface. Names are WIT's, in kebab case.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) docs: Vec<String>,
    /// The record that it is asked with.
    pub(super) request: String,
    pub(super) reply: Reply,
}

/// What a function replies. For each there is one safe answer: nothing, none of them, the first case. The contract is made so.
pub(super) enum Reply {
    Nothing,
    Option(Element),
    List(Element),
    Enum {
        name: String,
        first: String,
    },
    /// A record of options.
    Record {
        name: String,
        fields: Vec<String>,
    },
}

pub(super) enum Element {
    Text,
    Bytes,
    Record(String),
}

/// The functions of `module`, in the order of the WIT text.
pub(super) fn functions(module: Module) -> anyhow::Result<Vec<Shape>> {
    let mut resolve = Resolve::default();
    let text: String = SOURCES.iter().map(|(_, text)| *text).collect::<Vec<_>>().join("\n");
    resolve.push_source(PACKAGE, &text)?;
    let interface =
        resolve.interfaces.iter().find(|(_, interface)| interface.name.as_deref() == Some(module.interface()));
    let (_, interface) =
        interface.with_context(|| format!("{PACKAGE} {} lacks {}", VERSIONS[0], module.interface()))?;
    interface.functions.values().map(|function| shape(&resolve, function)).collect()
}

fn shape(resolve: &Resolve, function: &Function) -> anyhow::Result<Shape> {
    let parts = || {
        let request = named(resolve, &function.params.first()?.ty)?;
        let TypeDefKind::Result(result) = kind(resolve, function.result.as_ref()?)? else { return None };
        let reply = match &result.ok {
            None => Reply::Nothing,
            Some(ty) => match kind(resolve, ty)? {
                TypeDefKind::Option(ty) => Reply::Option(element(resolve, ty)?),
                TypeDefKind::List(ty) => Reply::List(element(resolve, ty)?),
                TypeDefKind::Enum(cases) => {
                    Reply::Enum { name: named(resolve, ty)?, first: cases.cases.first()?.name.clone() }
                }
                TypeDefKind::Record(record) => Reply::Record {
                    name: named(resolve, ty)?,
                    fields: record.fields.iter().map(|field| field.name.clone()).collect(),
                },
                _ => return None,
            },
        };
        Some((request, reply))
    };
    let Some((request, reply)) = parts() else { bail!("{}: a shape that no template knows", function.name) };
    let docs = function.docs.contents.as_deref().unwrap_or_default();
    let docs = docs.lines().map(|line| line.trim().to_owned()).collect();
    Ok(Shape { name: function.name.clone(), docs, request, reply })
}

fn element(resolve: &Resolve, ty: &Type) -> Option<Element> {
    Some(match (ty, kind(resolve, ty)) {
        (Type::String, _) | (_, Some(TypeDefKind::Type(Type::String))) => Element::Text,
        (_, Some(TypeDefKind::List(Type::U8))) => Element::Bytes,
        (_, Some(TypeDefKind::Record(_))) => Element::Record(named(resolve, ty)?),
        _ => return None,
    })
}

fn kind<'r>(resolve: &'r Resolve, ty: &Type) -> Option<&'r TypeDefKind> {
    match ty {
        Type::Id(id) => Some(&resolve.types[*id].kind),
        _ => None,
    }
}

fn named(resolve: &Resolve, ty: &Type) -> Option<String> {
    match ty {
        Type::Id(id) => resolve.types[*id].name.clone(),
        _ => None,
    }
}
