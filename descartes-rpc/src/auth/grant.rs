//! What may be given on: nobody gives what it does not have.

use super::{Grants, Principal, Role};
use crate::{decode::ParamFault, error::RpcError, limits::TOKEN_SCOPES};

/// What `giver` gives to `subject`: what a role is for, or what is listed. What an agent gives it
/// has only as that agent, and no token or key is bound to one: it gives nothing.
pub(crate) fn granted(
    (giver, subject): (&Principal, &str),
    listed: Option<&[String]>,
    of_role: Option<&str>,
) -> Result<Grants, RpcError> {
    let grants = match (listed, of_role) {
        (Some(scopes), None) => {
            if !(1..=TOKEN_SCOPES).contains(&scopes.len()) {
                return Err(ParamFault::at("scopes", "1 to 64 scopes").into());
            }
            let named = Grants::from_texts(scopes.iter().map(String::as_str));
            named.map_err(|_error| ParamFault::at("scopes", "scopes of this interface"))?
        }
        (None, Some(name)) => {
            let role = Role::from_text(name);
            let fault = || ParamFault::at("role", "viewer, operator, approver or admin");
            Grants::of_role(role.ok_or_else(fault)?)
        }
        _ => return Err(ParamFault::at("scopes", "either `scopes` or `role`").into()),
    };
    match giver.may_give(&grants, subject)? {
        None => Ok(grants),
        Some(agent) => Err(super::forbidden(
            giver,
            super::Scope::Admin,
            format!("the agent {agent} gives nothing on"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn give(holds: &[&str], scopes: &[&str]) -> Result<Grants, ErrorKind> {
        let giver = Principal::new("ann", holds.iter().copied());
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        granted((&giver, "ann"), Some(&scopes), None).map_err(|error| error.kind())
    }

    #[test]
    fn nobody_gives_what_it_does_not_have() {
        const FORBIDDEN: Result<Grants, ErrorKind> = Err(ErrorKind::Forbidden);
        assert!(give(&["*"], &["*", "admin", "agent:read:own"]).is_ok());
        assert!(give(&["admin", "agent:read"], &["agent:read", "agent:read:own"]).is_ok());
        assert!(give(&["agent:read:own"], &["agent:read:own"]).is_ok());
        assert_eq!(give(&["agent:read:own"], &["agent:read"]), FORBIDDEN);
        assert_eq!(give(&["admin"], &["agent:read"]), FORBIDDEN);
        assert_eq!(give(&["admin", "approve"], &["*"]), FORBIDDEN);
        assert_eq!(give(&[], &["metrics"]), FORBIDDEN);
    }

    #[test]
    fn scopes_are_those_of_the_interface_and_there_is_at_least_one() {
        const INVALID: Result<Grants, ErrorKind> = Err(ErrorKind::InvalidParams);
        for wrong in ["", "agent", "agent:*", "AGENT:READ", "*:own", "agent:read:own:own", "a b"] {
            assert_eq!(give(&["*"], &[wrong]), INVALID, "{wrong}");
        }
        assert_eq!(give(&["*"], &[]), INVALID);
        assert_eq!(give(&["*"], &["audit"; TOKEN_SCOPES + 1]), INVALID);
    }

    #[test]
    fn a_role_stands_for_its_scopes() {
        let of = |giver: &Principal, name| granted((giver, "ann"), None, Some(name));
        let owner = Principal::owner();
        assert_eq!(of(&owner, "admin").unwrap(), Grants::all());
        assert_eq!(of(&owner, "viewer").unwrap(), Grants::of_role(Role::Viewer));
        assert_eq!(of(&owner, "root").unwrap_err().kind(), ErrorKind::InvalidParams);
        let both = granted((&owner, "ann"), Some(&["audit".to_owned()]), Some("viewer"));
        assert_eq!(both.unwrap_err().kind(), ErrorKind::InvalidParams);
        assert_eq!(
            granted((&owner, "ann"), None, None).unwrap_err().kind(),
            ErrorKind::InvalidParams
        );
        let reader = Principal::new("ann", ["agent:read"]);
        assert_eq!(of(&reader, "viewer").unwrap_err().kind(), ErrorKind::Forbidden);
    }
}
