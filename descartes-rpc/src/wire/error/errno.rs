//! Names of the errors that starting a program can meet.

use std::io;

/// Linux numbers; only what `execve`, `posix_spawn` and `chdir` answer.
const NAMES: [(i32, &str); 24] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (26, "ETXTBSY"),
    (28, "ENOSPC"),
    (30, "EROFS"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (40, "ELOOP"),
    (80, "ELIBBAD"),
    (116, "ESTALE"),
];

/// The name of an error number.
pub(super) fn name(number: i32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether the same start may succeed a little later.
pub(super) fn passes(number: i32) -> bool {
    matches!(name(number), Some("EINTR" | "EAGAIN" | "ENOMEM" | "ENFILE" | "EMFILE" | "ETXTBSY"))
}

/// What the system said, without the number that std puts behind it.
pub(super) fn sentence(error: &io::Error) -> String {
    let text = error.to_string();
    let plain = text.rfind(" (os error").map_or(&*text, |end| &text[..end]);
    plain.to_lowercase()
}
