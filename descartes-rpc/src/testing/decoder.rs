//! Every method's reading of its parameters, for the fuzz targets.

use crate::decode::{self, ParamFault};
use crate::message::Params;
use crate::method::{Method, MethodParams};
use crate::methods;

/// How one method reads its parameters.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Decoder {
    /// The method.
    pub name: &'static str,
    /// Its parameters in the order of their positions.
    pub members: &'static [&'static str],
    /// Reads parameters and writes them again, by name, as the typed client would.
    pub decode: fn(&Params) -> Result<Vec<u8>, ParamFault>,
}

impl Decoder {
    pub(crate) const fn of<M: Method>() -> Self {
        let (name, members) = (M::DECLARATION.name, <M::Params as MethodParams>::MEMBERS);
        Self { name, members, decode: decode_and_encode::<M::Params> }
    }

    /// The agent whose calls these parameters are ordered among, as it is told before they are
    /// decoded.
    #[must_use]
    pub fn agent_of(&self, params: &Params) -> Option<String> {
        decode::agent_of(self.members, params).map(std::borrow::Cow::into_owned)
    }
}

fn decode_and_encode<P: MethodParams>(params: &Params) -> Result<Vec<u8>, ParamFault> {
    let decoded = decode::decode::<P>(params)?;
    Ok(serde_json::to_vec(&decoded).expect("parameters have a form on the wire"))
}

/// One for every method, in the order of the table.
#[must_use]
pub fn decoders() -> &'static [Decoder] {
    methods::DECODERS
}
