//! Who asks: nobody that is known, a token, or somebody who is logged in to the console.

use crate::admin::base::token::OperatorRole;
use crate::model::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Nobody,
    Token(OperatorRole),
    Console(LoggedIn),
}

/// A login of the console. The secret of its cookie is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    pub role: OperatorRole,
    /// Tells logins apart in the audit trail; of no use to anybody else.
    pub label: String,
    pub expires: Millis,
}

impl Identity {
    pub fn role(&self) -> Option<OperatorRole> {
        match self {
            Self::Nobody => None,
            Self::Token(role) => Some(*role),
            Self::Console(login) => Some(login.role),
        }
    }
}
