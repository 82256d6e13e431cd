//! Declares a port of the store: one trait of [`Store`] for one kind of data.
//!
//! A port's method is declared once, in its trait. A double of the store (in tests and benchmarks) implements only
//! [`Intercept`] and [`Store`]: each port forwards its calls to [`Intercept::intercept`]. No part of the service
//! implements [`Intercept`], so the binary contains no such code. See
//! `docs/decisions/0026-doubles-intercept-the-store.md`.

use std::any::Any;
use std::pin::Pin;

use super::{Result, Store};

/// A call on a store, in progress.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Handles the calls of all ports in one method. A type that implements it has every port.
pub trait Intercept: Send + Sync {
    /// Handles one call, of a method that returns `Result<T>`. `make` makes the same call on another store.
    fn intercept<'a, T: Any + Send>(
        &'a self,
        make: impl FnOnce(&'a dyn Store) -> Call<'a, T> + Send,
    ) -> impl Future<Output = Result<T>> + Send;
}

/// Declares a port, as `#[macro_rules_attribute::apply(port)]` on a trait: makes its methods async and
/// `dyn`-compatible, and implements the port for each [`Intercept`].
macro_rules! port {
    ($($declaration:tt)*) => {
        #[async_trait::async_trait]
        $($declaration)*

        intercepted! { $($declaration)* }
    };
}

/// Implements a port by [`Intercept::intercept`]. Each method is an `async fn`, takes `&self` and returns a `Result`.
macro_rules! intercepted {
    (
        $(#[$about_port:meta])*
        pub trait $Port:ident {
            $(
                $(#[$about_method:meta])*
                async fn $method:ident(&self $(, $argument:ident: $kind:ty)* $(,)?) -> Result<$outcome:ty>;
            )+
        }
    ) => {
        #[async_trait::async_trait]
        impl<I: $crate::store::Intercept> $Port for I {
            $(
                async fn $method(&self $(, $argument: $kind)*) -> Result<$outcome> {
                    self.intercept(move |store| store.$method($($argument),*)).await
                }
            )+
        }
    };
}
