"""The programs: how a chat with each is asked for, and how it is pointed at the scripted model."""

import json
import subprocess
import time


class Program:
    """One program. What its own limits are is said here, beside it, and shown in the table."""

    backend = None
    package = None
    # How long it may take until it has begun to work on its first prompt, in seconds.
    start = 20
    # Why text that was withdrawn cannot be known to be void.
    no_retraction = None
    # Why a turn whose stream breaks fails, though the model would answer a second time.
    no_second_try = None
    # Why a sub-agent is not begun, though its tool is there.
    no_sub_agents = None
    # Why a turn goes no further when something was denied.
    no_word_after_denial = None
    # Why a stream that always breaks does not come to an end by itself.
    no_end_of_retries = None

    def __init__(self, name, folder, stub):
        self.name, self.stub = name, stub
        self.home = folder / "home"
        self.work = folder / "work"
        self.home.mkdir(parents=True)
        self.work.mkdir()
        subprocess.run(["git", "init", "--quiet", self.work], check=True)
        self.prepare()

    def prepare(self):
        """Writes the files by which it is configured."""

    def env(self):
        """The variables by which it is configured."""
        return {}

    def params(self):
        """What `chat.create` is asked for, beside what all are asked for."""
        return {}

    def before_resume(self):
        """Waits until a conversation that has just begun can be resumed."""

    def create(self, **more):
        return {"backend": self.backend, "working_dir": str(self.work),
                "env": {"HOME": str(self.home), **self.env()}, **self.params(), **more}


class ClaudeCode(Program):
    backend = package = "claude-code"

    def env(self):
        return {"ANTHROPIC_BASE_URL": self.stub.url, "ANTHROPIC_API_KEY": "stub-key",
                "CLAUDE_CONFIG_DIR": str(self.home / ".claude"), "CLAUDE_CODE_MAX_RETRIES": "3"}

    def params(self):
        return {"model": "stub-1"}


class Codex(Program):
    backend = package = "codex"

    def prepare(self):
        (self.home / ".codex").mkdir()
        (self.home / ".codex" / "config.toml").write_text(f"""
model = "stub-1"
model_provider = "stub"
check_for_update_on_startup = false
[model_providers.stub]
name = "stub"
base_url = "{self.stub.url}/v1"
wire_api = "responses"
env_key = "STUB_API_KEY"
request_max_retries = 2
stream_max_retries = 1
stream_idle_timeout_ms = 20000
[analytics]
enabled = false
""")

    def env(self):
        return {"CODEX_HOME": str(self.home / ".codex"), "STUB_API_KEY": "stub-key"}


class OpenCode(Program):
    backend = package = "opencode"
    start = 60
    no_retraction = "ACP has no word for it, and OpenCode does not tell that it tries again"
    no_word_after_denial = ("OpenCode ends a turn with what was denied, unless its configuration has "
                            "`experimental.continue_loop_on_deny`")
    no_end_of_retries = "OpenCode tries a broken stream for ever; the turn's timeout ends it"

    def env(self):
        model = {"tool_call": True, "reasoning": True,
                 "limit": {"context": 200000, "output": 8192}}
        options = {"baseURL": f"{self.stub.url}/v1", "apiKey": "stub-key"}
        provider = {"npm": "@ai-sdk/openai-compatible", "options": options,
                    "models": {"stub-1": model}}
        config = {"provider": {"stub": provider}, "model": "stub/stub-1",
                  "small_model": "stub/stub-1", "autoupdate": False, "share": "disabled"}
        off = ["AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS"]
        return {"OPENCODE_CONFIG_CONTENT": json.dumps(config),
                **{f"OPENCODE_DISABLE_{what}": "1" for what in off}}


class Gemini(Program):
    backend = package = "gemini"
    start = 40
    no_sub_agents = "Gemini denies its sub-agents by a policy of its own"
    no_second_try = "Gemini does not try a broken connection again"
    no_retraction = "ACP has no word for it, and Gemini does not tell that it tries again"

    def prepare(self):
        (self.home / ".gemini").mkdir()
        settings = {"privacy": {"usageStatisticsEnabled": False},
                    "general": {"enableAutoUpdate": False},
                    "security": {"auth": {"selectedType": "gemini-api-key"}}}
        (self.home / ".gemini" / "settings.json").write_text(json.dumps(settings))

    def env(self):
        return {"GEMINI_API_KEY": "stub-key", "GOOGLE_GEMINI_BASE_URL": self.stub.url,
                "GEMINI_CLI_TRUST_WORKSPACE": "true"}

    def params(self):
        return {"model": "gemini-2.5-flash"}

    def before_resume(self):
        # The name of its file has the minute of its beginning: in that minute 0.61.0 takes a
        # conversation that is loaded for a new one, and writes over it.
        minute = time.time() // 60
        while time.time() // 60 == minute:
            time.sleep(1)


class ClaudeAgentAcp(Program):
    """An ACP agent that Descartes does not know by name: its command line is all there is."""

    backend = "acp"
    package = "claude-agent-acp"
    start = 40
    no_retraction = "ACP has no word for it"

    def env(self):
        return {"ANTHROPIC_BASE_URL": self.stub.url, "ANTHROPIC_API_KEY": "stub-key",
                "ANTHROPIC_MODEL": "stub-1", "CLAUDE_CONFIG_DIR": str(self.home / ".claude"),
                "CLAUDE_CODE_MAX_RETRIES": "3", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}

    def params(self):
        return {"command": ["claude-agent-acp"]}


PROGRAMS = {"claude-code": ClaudeCode, "codex": Codex, "opencode": OpenCode, "gemini": Gemini,
            "acp": ClaudeAgentAcp}
