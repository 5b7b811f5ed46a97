//! Loops that the compiler turns into vectors, for each set of instructions that a machine may have.

/// Runs `work`, compiled for the widest instructions that this machine has. As the compiler puts no function of its own into code
/// for other instructions, `work` and what it calls are marked `#[inline(always)]`.
///
/// Never hand a closure to [`pulp::Arch::dispatch`] itself: that calls it by value, which goes through a function that the compiler
/// makes, and which is compiled for the oldest processors.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnMut() -> R) -> R {
    struct Work<F>(F);

    impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Work<F> {
        type Output = R;

        #[inline(always)]
        fn call(mut self) -> R {
            (self.0)()
        }
    }

    pulp::Arch::new().dispatch(Work(work))
}
