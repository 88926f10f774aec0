//! Actions: what an application lets be done with an agent beyond the methods.
//!
//! An embedder registers an action by name ([`Builder::action`](crate::Builder::action)); clients
//! run it with `agent.action`, over every transport.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use crate::Descartes;
use crate::agent::{AgentError, AgentId, AgentRecord};

/// What an action works on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActionContext {
    /// The agent, as it was when the action began. It may have ended.
    pub agent: Arc<AgentRecord>,
    /// The runtime that the agent belongs to.
    pub descartes: Descartes,
    /// Who asked.
    pub by: Arc<str>,
    params: Option<Box<RawValue>>,
}

impl ActionContext {
    /// The parameters, read as `T`; absent ones are read as an empty object.
    ///
    /// # Errors
    /// [`ActionError::Params`], which the caller is told.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, ActionError> {
        let text = self.params.as_ref().map_or("{}", |params| params.get());
        serde_json::from_str(text).map_err(|error| ActionError::Params(error.to_string()))
    }

    /// The parameters as the text that was sent; nothing when there are none.
    #[must_use]
    pub fn raw_params(&self) -> Option<&RawValue> {
        self.params.as_deref()
    }
}

/// Why an action did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// The parameters do not fit; the caller is told this sentence.
    #[error("{0}")]
    Params(String),
    /// It could not be done; the caller is told this sentence.
    #[error("{0}")]
    Failed(String),
    /// Something was wrong with an agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// Why no action gave a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunActionError {
    /// There is no agent of this identity.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// No action has this name.
    #[error("no action {name:?}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        available: Vec<Arc<str>>,
    },
    /// It took longer than it may, and was dropped.
    #[error("the action did not end in time")]
    Timeout,
    /// It failed.
    #[error(transparent)]
    Action(ActionError),
}

type ActionFuture = Pin<Box<dyn Future<Output = Result<Box<RawValue>, ActionError>> + Send>>;
type Run = Arc<dyn Fn(ActionContext) -> ActionFuture + Send + Sync>;

/// The actions of one [`Descartes`], by name.
#[derive(Clone)]
pub(crate) struct Actions(BTreeMap<Arc<str>, Action>);

#[derive(Clone)]
struct Action {
    about: Arc<str>,
    run: Run,
}

/// An action, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionInfo {
    /// Its name.
    pub name: Arc<str>,
    /// What it does, in one sentence.
    pub about: Arc<str>,
}

impl Actions {
    pub(crate) fn add<F, R>(
        &mut self,
        name: Arc<str>,
        about: Arc<str>,
        run: impl Fn(ActionContext) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<R, ActionError>> + Send + 'static,
        R: Serialize,
    {
        let run: Run = Arc::new(move |context| {
            let given = run(context);
            Box::pin(async move {
                let given = given.await?;
                to_raw_value(&given).map_err(|error| ActionError::Failed(error.to_string()))
            })
        });
        self.0.insert(name, Action { about, run });
    }

    fn list(&self) -> Vec<ActionInfo> {
        let info = |(name, action): (&Arc<str>, &Action)| ActionInfo {
            name: Arc::clone(name),
            about: Arc::clone(&action.about),
        };
        self.0.iter().map(info).collect()
    }
}

impl Default for Actions {
    /// Those that are always there.
    fn default() -> Self {
        let mut actions = Self(BTreeMap::new());
        actions.add("echo".into(), "Gives back its parameters.".into(), echo);
        actions.add("ping".into(), "Says the agent's status.".into(), ping);
        let about = "Names the variables that the agent was given; their values are secrets.";
        actions.add("get_env".into(), about.into(), get_env);
        actions
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

async fn echo(context: ActionContext) -> Result<Option<Box<RawValue>>, ActionError> {
    Ok(context.params)
}

#[derive(Serialize)]
struct Pong {
    pong: bool,
    status: &'static str,
}

async fn ping(context: ActionContext) -> Result<Pong, ActionError> {
    Ok(Pong { pong: true, status: context.agent.status.as_str() })
}

#[derive(Serialize)]
struct EnvNames {
    names: Vec<String>,
}

async fn get_env(context: ActionContext) -> Result<EnvNames, ActionError> {
    Ok(EnvNames { names: context.agent.spec.env.keys().cloned().collect() })
}

impl Descartes {
    /// The actions that there are, by name.
    #[must_use]
    pub fn actions(&self) -> Vec<ActionInfo> {
        self.core.actions.list()
    }

    /// Runs the action `name` on an agent and returns what it gives, as JSON.
    ///
    /// # Errors
    /// When there is no such agent or action, the action fails, or it is not done after `limit`.
    ///
    /// # Cancel safety
    /// Dropping this drops the action where it stands, as the limit does.
    pub async fn run_action(
        &self,
        id: AgentId,
        (name, params): (&str, Option<Box<RawValue>>),
        limit: Duration,
        by: impl Into<Arc<str>>,
    ) -> Result<Box<RawValue>, RunActionError> {
        let (view, _) = self.agent(id)?;
        let Some(action) = self.core.actions.0.get(name) else {
            let available = self.core.actions.0.keys().cloned().collect();
            return Err(RunActionError::Unknown { name: name.to_owned(), available });
        };
        let (descartes, by) = (self.clone(), by.into());
        let context = ActionContext { agent: view.record, descartes, by, params };
        match tokio::time::timeout(limit, (action.run)(context)).await {
            Ok(result) => result.map_err(RunActionError::Action),
            Err(_elapsed) => Err(RunActionError::Timeout),
        }
    }
}
