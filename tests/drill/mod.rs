//! Fire drills: which canaries there are, and what a drill says of a stack that runs.

mod canaries;
mod held;
