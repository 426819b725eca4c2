//! CLAIMED: this file is being written by a second person in this worktree. Leave it to them; declare the module when it compiles.
