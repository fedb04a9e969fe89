//! Every call of the contract, picked by a byte.

/// `run::<Call>(argument)` for the call that `pick` stands for, in the order of the WIT package; `D` is the first.
#[macro_export]
macro_rules! with_call {
    ($pick:expr, $run:ident($argument:expr)) => {{
        let calls = drawspan_wit::every_call!(runs, $run);
        calls[usize::from(*$pick) % calls.len()]($argument)
    }};
}

/// One function for each call.
#[macro_export]
macro_rules! runs {
    ($run:ident ; $($call:ty),*) => {
        [$($run::<$call> as fn(&[u8])),*]
    };
}
