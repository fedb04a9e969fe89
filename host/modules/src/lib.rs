//! The modules as the gateway's handlers see them: nouns that speak of connections and clients, over whatever answers.
//!
//! A noun turns domain values into a call and a reply into a domain value. It holds no policy and knows no transport:
//! rules from the config ([`UserTable`]) and groups ([`AnyOf`]) are plugins like any other.

mod authenticator;
mod conn;
mod users;

pub use authenticator::{AnyOf, Authenticator, ClientId};
pub use conn::ConnInfo;
pub use users::UserTable;
