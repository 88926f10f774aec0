//! The macro behind the table of methods, and how a row is called.

use std::fmt;
use std::future::Future;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::decode::decode;
use crate::error::RpcError;
use crate::idempotency::{self, Effect};
use crate::message::{NotificationStream, Params};
use crate::method::{Declaration, Method};
use crate::router::Call;
use crate::service::{Dispatched, Outcome};

/// One row of the table.
pub(crate) struct Entry {
    /// What is declared.
    pub(crate) declaration: Declaration,
    /// Its parameters in the order of their positions.
    pub(crate) members: &'static [&'static str],
    /// Whether it is answered on the spot.
    pub(crate) immediate: bool,
    /// How it is called.
    pub(crate) run: fn(Call, Params) -> Dispatched,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("declaration", &self.declaration).finish_non_exhaustive()
    }
}

type Answer = Result<Outcome, RpcError>;

/// The result as JSON.
pub(crate) fn encode(result: &impl Serialize) -> Result<Bytes, RpcError> {
    let mut out = Vec::with_capacity(256);
    serde_json::to_writer(&mut out, result).map_err(|error| RpcError::internal(&error))?;
    Ok(out.into())
}

/// A method that never waits.
pub(crate) fn now<M: Method>(
    call: &Call,
    params: &Params,
    run: impl FnOnce(&Call, &M::Params) -> Result<M::Result, RpcError>,
) -> Dispatched {
    let answer = || run(call, &decode::<M::Params>(params)?).and_then(|result| encode(&result));
    Dispatched::Now(answer().map(Outcome::of))
}

/// The answer of a method that is a barrier.
pub(crate) enum Barrier<R> {
    /// It is there.
    Now(Result<R, RpcError>),
    /// Everything is decided, and only the answer comes later.
    Later(BoxFuture<'static, Result<R, RpcError>>),
}

/// A method that has its effect before any later call of its connection begins.
pub(crate) fn barrier<M: Method>(
    call: Call,
    params: &Params,
    run: impl FnOnce(Call, M::Params) -> Barrier<M::Result>,
) -> Dispatched {
    let params = match decode::<M::Params>(params) {
        Ok(params) => params,
        Err(fault) => return Dispatched::Now(Err(fault.into())),
    };
    match run(call, params) {
        Barrier::Now(result) => {
            Dispatched::Now(result.and_then(|result| encode(&result)).map(Outcome::of))
        }
        Barrier::Later(result) => later(async move { encode(&result.await?).map(Outcome::of) }),
    }
}

/// A method that reads.
pub(crate) fn read<M, F>(
    call: Call,
    params: Params,
    run: impl FnOnce(Call, M::Params) -> F + Send + 'static,
) -> Dispatched
where
    M: Method,
    F: Future<Output = Result<M::Result, RpcError>> + Send,
{
    later(async move {
        let params = decode::<M::Params>(&params)?;
        let result = run(call, params).await?;
        encode(&result).map(Outcome::of)
    })
}

/// A method that reads and writes its result itself.
pub(crate) fn raw<M, F>(
    call: Call,
    params: Params,
    run: impl FnOnce(Call, M::Params) -> F + Send + 'static,
) -> Dispatched
where
    M: Method,
    F: Future<Output = Result<Bytes, RpcError>> + Send,
{
    later(async move {
        let params = decode::<M::Params>(&params)?;
        run(call, params).await.map(Outcome::of)
    })
}

/// A method that changes something: it runs on when its caller leaves.
pub(crate) fn effect<M, F>(
    call: Call,
    params: Params,
    run: impl FnOnce(Effect, M::Params) -> F + Send + 'static,
) -> Dispatched
where
    M: Method,
    F: Future<Output = (Effect, Result<M::Result, RpcError>)> + Send + 'static,
{
    later(async move { idempotency::once::<M, F>(call, params, run).await.map(Outcome::of) })
}

/// A method whose answer is followed by notifications.
pub(crate) fn stream<M, F>(
    call: Call,
    params: Params,
    run: impl FnOnce(Call, M::Params) -> F + Send + 'static,
) -> Dispatched
where
    M: Method,
    F: Future<Output = Result<(M::Result, NotificationStream), RpcError>> + Send,
{
    later(async move {
        let params = decode::<M::Params>(&params)?;
        let (result, stream) = run(call, params).await?;
        Ok(Outcome { result: encode(&result)?, stream: Some(stream) })
    })
}

fn later(answer: impl Future<Output = Answer> + Send + 'static) -> Dispatched {
    let answer: BoxFuture<'static, Answer> = Box::pin(answer);
    Dispatched::Later(answer)
}

/// Makes everything that follows from the declarations.
macro_rules! methods {
    ($(
        $(#[doc = $doc:literal])+
        $Name:ident $name:literal $client:ident($Params:ty) -> $Result:ty = $via:ident $run:path,
        $declared:expr;
    )+) => {
        /// The methods as types, for [`Client::call`](crate::client::Client::call).
        pub mod typed {
            $(
                $(#[doc = $doc])+
                #[derive(Debug)]
                pub enum $Name {}
            )+
        }

        $(
            impl crate::method::Method for typed::$Name {
                type Params = $Params;
                type Result = $Result;
                const DECLARATION: Declaration =
                    $declared.named($name, concat!($($doc, "\n"),+));
            }
        )+

        /// Every method, in the order of the table.
        pub(crate) static ENTRIES: &[table::Entry] = &[$(
            table::Entry {
                declaration: <typed::$Name as crate::method::Method>::DECLARATION,
                members: <$Params as crate::method::MethodParams>::MEMBERS,
                immediate: table::immediate!($via),
                run: |call, params| table::call!($via typed::$Name, call, params, $run),
            },
        )+];

        /// How each method reads its parameters, in the order of the table.
        #[cfg(any(test, feature = "test-util"))]
        pub(crate) static DECODERS: &[crate::testing::Decoder] = &[$(
            crate::testing::Decoder::of::<typed::$Name>(),
        )+];

        /// The row of the method `name`.
        pub(crate) fn index(name: &str) -> Option<usize> {
            #[derive(Clone, Copy)]
            enum Row { $($Name),+ }
            let row = match name {
                $($name => Row::$Name,)+
                _ => return None,
            };
            Some(row as usize)
        }

        /// The OpenRPC document of a daemon of `version`.
        pub(crate) fn document(version: &str) -> bytes::Bytes {
            let mut document = crate::openrpc::Document::new();
            $(document.add::<typed::$Name>(table::immediate!($via));)+
            document.finish(version)
        }

        impl crate::client::Client {
            $(table::client!($via $client $Name $($doc)+, $Params => $Result);)+
        }
    };
}

/// Calls a method in the way that its row says.
macro_rules! call {
    (now $Method:ty, $call:expr, $params:expr, $run:path) => {
        table::now::<$Method>(&$call, &$params, $run)
    };
    (barrier $Method:ty, $call:expr, $params:expr, $run:path) => {
        table::barrier::<$Method>($call, &$params, $run)
    };
    ($via:ident $Method:ty, $call:expr, $params:expr, $run:path) => {
        table::$via::<$Method, _>($call, $params, $run)
    };
}

/// Whether such a row is answered on the spot.
macro_rules! immediate {
    (now) => {
        true
    };
    (barrier) => {
        true
    };
    ($via:ident) => {
        false
    };
}

/// The client's method; a subscription has one of its own (`Client::subscribe`).
macro_rules! client {
    (stream $($rest:tt)*) => {};
    ($via:ident $client:ident $Name:ident $($doc:literal)+, $Params:ty => $Result:ty) => {
        $(#[doc = $doc])+
        ///
        /// # Errors
        /// What the daemon answered, or why there is no answer.
        pub async fn $client(
            &self,
            params: $Params,
        ) -> Result<$Result, crate::client::ClientError> {
            self.call::<typed::$Name>(params).await
        }
    };
}

pub(crate) use {call, client, immediate, methods};
