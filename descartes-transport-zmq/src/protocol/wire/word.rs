//! Words of the protocol.

/// A closed set of words, read strictly: another word is an error that lists these.
macro_rules! closed {
    ($(#[$meta:meta])* pub enum $Name:ident {
        $($(#[$variant_meta:meta])* $Variant:ident = $word:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $Name { $($(#[$variant_meta])* $Variant,)+ }

        impl $Name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(input)?;
                let known = Self::ALL.iter().copied().find(|known| known.as_str() == word);
                known.ok_or_else(|| serde::de::Error::unknown_variant(&word, Self::WORDS))
            }
        }
    };
}

closed! {
    /// What a `control_command` asks for.
    pub enum ControlCommandType {
        /// Stops the agent's processes until `resume`.
        Pause = "pause",
        /// Lets a paused agent go on.
        Resume = "resume",
        /// Ends the agent with grace.
        Stop = "stop",
        /// Ends the agent without grace.
        Kill = "kill",
        /// Writes to the agent's standard input.
        WriteStdin = "write_stdin",
        /// Reads a page of what the agent wrote to standard output.
        ReadStdout = "read_stdout",
        /// The same of standard error.
        ReadStderr = "read_stderr",
        /// Shows the agent, or all; may be followed.
        #[default]
        GetStatus = "get_status",
        /// Sends a signal.
        Signal = "signal",
        /// Runs an action that a backend or an embedder registered.
        CustomAction = "custom_action",
        /// Searches what the agent wrote.
        QueryOutput = "query_output",
        /// Follows what the agent writes.
        StreamLogs = "stream_logs",
    }
}

closed! {
    /// Which output is meant.
    pub enum ZmqOutputStream {
        /// Standard output.
        Stdout = "stdout",
        /// Standard error.
        Stderr = "stderr",
        /// Both, in the order written.
        #[default]
        Both = "both",
    }
}

/// What a `status_update` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpdateType {
    /// The agent has another status, or is new.
    #[default]
    StatusChanged,
    /// It wrote something; only where that was asked for.
    OutputAvailable,
    /// It failed or was lost, or this stream cannot go on.
    Error,
    /// It ended well.
    Completed,
    /// It was killed, or forgotten.
    Terminated,
    /// Nothing happened for a while, and the daemon is there.
    Heartbeat,
    /// A word of a later daemon.
    Unknown,
}

impl UpdateType {
    /// The words that this library knows.
    pub const ALL: &'static [Self] = &[
        Self::StatusChanged,
        Self::OutputAvailable,
        Self::Error,
        Self::Completed,
        Self::Terminated,
        Self::Heartbeat,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatusChanged => "status_changed",
            Self::OutputAvailable => "output_available",
            Self::Error => "error",
            Self::Completed => "completed",
            Self::Terminated => "terminated",
            Self::Heartbeat => "heartbeat",
            Self::Unknown => "unknown",
        }
    }
}

impl serde::Serialize for UpdateType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for UpdateType {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let word = <String as serde::Deserialize>::deserialize(input)?;
        let known = Self::ALL.iter().copied().find(|known| known.as_str() == word);
        Ok(known.unwrap_or(Self::Unknown))
    }
}
