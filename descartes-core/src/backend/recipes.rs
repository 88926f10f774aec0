//! The agent programs that are known by name: how each is started, and what it must be told.
//!
//! What they need was observed with Claude Code 2.1.197, Codex 0.169.0, OpenCode 1.18.33 and
//! Gemini CLI 0.61.0. What a nested run would inherit from an outer agent is scrubbed for every
//! agent (`process/environment.rs`).

use std::sync::Arc;

use super::login::{Place, Signs};
use super::{Backend, CapabilitySettings, Conversing, Program};
use crate::dialect::{Acp, Claude, Codex, Dialect, Gemini, LineTalk, OpenCode, opencode};

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
    /// By what its login is told; none where nobody knows.
    signs: Option<&'static Signs>,
    /// A conversation was seen to go on in another process, which the dialect cannot know before
    /// the program says so.
    resumes: bool,
    /// How to install it; all that can be installed say their version when asked with `--version`.
    install: &'static str,
}

/// Where logins are kept was seen in the programs themselves (of these versions): Claude Code's
/// `.credentials.json`, Codex's and OpenCode's `auth.json`; settings may name other ways.
const CLAUDE: Signs = Signs {
    keys: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
    files: &[Place { folder: "CLAUDE_CONFIG_DIR", home: ".claude", file: ".credentials.json" }],
    other_keys: &["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"],
    other_files: &[Place { folder: "CLAUDE_CONFIG_DIR", home: ".claude", file: "settings.json" }],
    is_optional: false,
};
const CODEX: Signs = Signs {
    keys: &[],
    files: &[Place { folder: "CODEX_HOME", home: ".codex", file: "auth.json" }],
    other_keys: &["OPENAI_API_KEY"],
    other_files: &[Place { folder: "CODEX_HOME", home: ".codex", file: "config.toml" }],
    is_optional: false,
};
/// It has models that want no login.
const OPENCODE: Signs = Signs {
    keys: &["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
    files: &[Place { folder: "XDG_DATA_HOME", home: ".local/share", file: "opencode/auth.json" }],
    other_keys: &[],
    other_files: &[],
    is_optional: true,
};
const GEMINI: Signs = Signs {
    keys: &["GEMINI_API_KEY"],
    files: &[],
    other_keys: &["GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_APPLICATION_CREDENTIALS"],
    other_files: &[
        Place { folder: "GEMINI_CLI_HOME", home: "", file: ".gemini/oauth_creds.json" },
        Place { folder: "GEMINI_CLI_HOME", home: "", file: ".gemini/settings.json" },
    ],
    is_optional: false,
};

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
        signs: Some(&CLAUDE),
        resumes: true,
        install: "npm install -g @anthropic-ai/claude-code",
    },
    Recipe {
        name: "codex",
        command: &["codex"],
        dialect: "codex",
        make: || Box::new(Codex::new()),
        env: &[],
        pass: &["CODEX_HOME", "OPENAI_*"],
        signs: Some(&CODEX),
        resumes: true,
        install: "npm install -g @openai/codex",
    },
    Recipe {
        name: "opencode",
        command: &["opencode", "acp"],
        dialect: "acp",
        make: || Box::new(Acp::new()),
        env: &[("OPENCODE_DISABLE_AUTOUPDATE", "1"), (opencode::PERMISSION, opencode::ASKING)],
        pass: &["OPENCODE_*", "ANTHROPIC_*", "OPENAI_*", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
        signs: Some(&OPENCODE),
        resumes: true,
        install: "npm install -g opencode-ai",
    },
    Recipe {
        name: "gemini",
        command: &["gemini", "--acp"],
        dialect: "acp",
        make: || Box::new(Acp::new().with_auth_method("gemini-api-key").with_model_argument("-m")),
        env: &[("GEMINI_TELEMETRY_ENABLED", "false")],
        pass: &["GEMINI_*", "GOOGLE_*"],
        signs: Some(&GEMINI),
        resumes: true,
        install: "npm install -g @google/gemini-cli",
    },
    Recipe {
        name: "opencode-run",
        command: &["opencode"],
        dialect: "opencode",
        make: || Box::new(OpenCode::new()),
        env: &[("OPENCODE_DISABLE_AUTOUPDATE", "1")],
        pass: &["OPENCODE_*", "ANTHROPIC_*", "OPENAI_*", "GEMINI_API_KEY", "OPENROUTER_API_KEY"],
        signs: Some(&OPENCODE),
        resumes: true,
        install: "npm install -g opencode-ai",
    },
    Recipe {
        name: "gemini-run",
        command: &["gemini"],
        dialect: "gemini",
        make: || Box::new(Gemini::new()),
        env: &[("GEMINI_TELEMETRY_ENABLED", "false")],
        pass: &["GEMINI_*", "GOOGLE_*"],
        signs: Some(&GEMINI),
        resumes: true,
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
        signs: None,
        resumes: false,
        install: "",
    },
    // Any program that answers a line with lines, by its command line alone.
    Recipe {
        name: "line-talk",
        command: &[],
        dialect: "line-talk",
        make: || Box::new(LineTalk::new()),
        env: &[],
        pass: &[],
        signs: None,
        resumes: false,
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
        let conversing = Conversing { dialect: self.dialect, make: Box::new(self.make) };
        let mut backend = Backend::of(
            self.name,
            super::Recipe::Conversing(Arc::new(conversing)),
            Program {
                command: self.command.iter().map(text).collect(),
                env: self.env.iter().map(pair).collect(),
                pass: self.pass.iter().map(text).collect(),
                version: if self.install.is_empty() { &[] } else { &["--version"] },
                signs: self.signs,
                install: self.install,
            },
        );
        let resume = self.resumes.then_some(true);
        backend.said = Arc::new(CapabilitySettings { resume, ..CapabilitySettings::default() });
        backend
    }
}
