//! The agent programs that are known by name: how each is started, and what it must be told.
//!
//! What they need was observed with Claude Code 2.1.197, Codex 0.169.0, OpenCode 1.18.33 and
//! Gemini CLI 0.61.0. What a nested run would inherit from an outer agent is scrubbed for every
//! agent (`process/environment.rs`).

use super::{Backend, Conversing};
use crate::dialect::{Acp, Claude, Codex, Dialect, Gemini, OpenCode, opencode};

/// One row of the table.
struct Recipe {
    name: &'static str,
    command: &'static [&'static str],
    dialect: &'static str,
    make: fn() -> Box<dyn Dialect>,
    /// Set in its environment: no updates, no telemetry.
    env: &'static [(&'static str, &'static str)],
    /// Inherited from the host beside what every agent inherits: its keys and its configuration.
    pass: &'static [&'static str],
    install: &'static str,
}

/// The programs, in the order in which `backend.list` shows them.
const RECIPES: &[Recipe] = &[
    Recipe {
        name: "claude-code",
        command: &["claude"],
        dialect: "claude",
        make: || Box::new(Claude::new()),
        env: &[
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
        ],
        pass: &[
            "ANTHROPIC_*",
            "CLAUDE_CONFIG_DIR",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_*",
            "AWS_*",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ],
        install: "npm install -g @anthropic-ai/claude-code",
    },
    Recipe {
        name: "codex",
        command: &["codex"],
        dialect: "codex",
        make: || Box::new(Codex::new()),
        env: &[],
        pass: &["CODEX_HOME", "OPENAI_*"],
        install: "npm install -g @openai/codex",
    },
    Recipe {
        name: "opencode",
        command: &["opencode", "acp"],
        dialect: "acp",
        make: || Box::new(Acp::new()),
        env: &[("OPENCODE_DISABLE_AUTOUPDATE", "1"), (opencode::PERMISSION, opencode::ASKING)],
        pass: &["OPENCODE_*", "ANTHROPIC_*", "OPENAI_*", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
        install: "npm install -g opencode-ai",
    },
    Recipe {
        name: "gemini",
        command: &["gemini", "--acp"],
        dialect: "acp",
        make: || Box::new(Acp::new().with_auth_method("gemini-api-key").with_model_argument("-m")),
        env: &[("GEMINI_TELEMETRY_ENABLED", "false")],
        pass: &["GEMINI_*", "GOOGLE_*"],
        install: "npm install -g @google/gemini-cli",
    },
    Recipe {
        name: "opencode-run",
        command: &["opencode"],
        dialect: "opencode",
        make: || Box::new(OpenCode::new()),
        env: &[("OPENCODE_DISABLE_AUTOUPDATE", "1")],
        pass: &["OPENCODE_*", "ANTHROPIC_*", "OPENAI_*", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
        install: "npm install -g opencode-ai",
    },
    Recipe {
        name: "gemini-run",
        command: &["gemini"],
        dialect: "gemini",
        make: || Box::new(Gemini::new()),
        env: &[("GEMINI_TELEMETRY_ENABLED", "false")],
        pass: &["GEMINI_*", "GOOGLE_*"],
        install: "npm install -g @google/gemini-cli",
    },
    // Any agent that speaks the protocol, by its command line alone.
    Recipe {
        name: "acp",
        command: &[],
        dialect: "acp",
        make: || Box::new(Acp::new()),
        env: &[],
        pass: &[],
        install: "",
    },
];

impl Backend {
    /// The agent programs that are known by name.
    #[must_use]
    pub fn known() -> Vec<Self> {
        RECIPES.iter().map(Recipe::backend).collect()
    }

    /// The backend that is meant by `name`: some are known by more than one.
    pub(crate) fn named(name: &str) -> &str {
        match name {
            "claude" | "claude-code-cli" => "claude-code",
            other => other,
        }
    }
}

impl Recipe {
    fn backend(&self) -> Backend {
        let text = |text: &&str| (*text).to_owned();
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Backend::of(
            self.name,
            Conversing {
                command: self.command.iter().map(text).collect(),
                env: self.env.iter().map(pair).collect(),
                pass: self.pass.iter().map(text).collect(),
                dialect: self.dialect,
                install: self.install,
                make: Box::new(self.make),
            },
        )
    }
}
