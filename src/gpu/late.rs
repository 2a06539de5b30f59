//! What a device finds after the call that caused it has returned.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::RunError;

/// A listener of [`Gpu::on_error`](super::Gpu::on_error).
type Listener = Arc<dyn Fn(&'static str, &RunError) + Send + Sync>;

/// Late errors, kept until somebody asks or told to a listener.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    first: Option<RunError>,
    /// The operation that was submitted last.
    operation: &'static str,
    listener: Option<Listener>,
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Late").field(&self.lock().first).finish()
    }
}

impl Late {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names what is submitted now: a late error is told with the name of the last submission.
    pub(super) fn began(&self, operation: &'static str) {
        self.lock().operation = operation;
    }

    pub(super) fn listen(&self, listener: Listener) {
        self.lock().listener = Some(listener);
    }

    /// Keeps `error` for the next who asks, or tells the listener. A loss is kept even then: every later
    /// read fails by it.
    pub(super) fn keep(&self, error: RunError) {
        let mut state = self.lock();
        let operation = state.operation;
        let error = error.after(operation);
        let listener = state.listener.clone();
        // A loss explains whatever failed before it was told.
        if is_loss(&error) && !state.first.as_ref().is_some_and(is_loss)
            || state.first.is_none() && listener.is_none()
        {
            state.first = Some(error.clone());
        }
        // The listener may call the library.
        drop(state);
        if let Some(listener) = listener {
            listener(operation, &error);
        }
    }

    pub(super) fn take(&self) -> Option<RunError> {
        let mut state = self.lock();
        match &state.first {
            // A lost device stays lost.
            Some(lost) if is_loss(lost) => state.first.clone(),
            _ => state.first.take(),
        }
    }
}

fn is_loss(error: &RunError) -> bool {
    matches!(error, RunError::DeviceLost { .. })
}

impl RunError {
    /// Says after which operation a device told this.
    fn after(self, operation: &str) -> Self {
        let told = |reason: String| format!("{reason} (told after {operation} was submitted)");
        match self {
            unnamed if operation.is_empty() => unnamed,
            Self::DeviceLost { reason } => Self::DeviceLost {
                reason: told(reason),
            },
            Self::Device { reason } => Self::Device {
                reason: told(reason),
            },
            Self::OutOfMemory { reason } => Self::OutOfMemory {
                reason: told(reason),
            },
            named => named,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> RunError {
        RunError::DeviceLost {
            reason: "gone".to_owned(),
        }
    }

    fn fault(reason: &str) -> RunError {
        RunError::Device {
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn an_error_is_told_once_and_with_its_operation() {
        let late = Late::default();
        late.began("training forward");
        late.keep(fault("first"));
        late.keep(fault("second"));
        let told = late.take().unwrap().to_string();
        assert!(
            told.contains("first") && told.contains("training forward"),
            "{told}"
        );
        assert_eq!(late.take(), None);
    }

    #[test]
    fn a_loss_replaces_what_came_before_and_stays() {
        let late = Late::default();
        late.keep(fault("first"));
        late.keep(lost());
        assert_eq!(late.take(), Some(lost()));
        assert_eq!(late.take(), Some(lost()));
    }

    #[test]
    fn a_listener_takes_errors_and_reads_still_fail_by_a_loss() {
        let late = Late::default();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (own, listened) = (late.clone(), heard.clone());
        late.listen(Arc::new(move |operation, error| {
            // A listener may ask the library.
            let _ = own.take();
            listened
                .lock()
                .unwrap()
                .push((operation, error.to_string()));
        }));
        late.began("backward");
        late.keep(fault("first"));
        assert_eq!(late.take(), None);
        late.keep(lost());
        assert!(late.take().is_some());
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 2);
        assert!(heard.iter().all(|(operation, _)| *operation == "backward"));
    }
}
