//! Panics. WebAssembly cannot unwind: code that panics stops where it is, and what it had borrowed stays borrowed. So a
//! panic rejects every promise that is pending, and later calls are refused with its message.

use crate::failure::Failure;
use js_sys::{Function, Promise};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use wasm_bindgen::JsValue;

thread_local! {
    static PENDING: RefCell<BTreeMap<u64, Function>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
    static PANIC: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// Makes panics readable errors.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let failure = Failure::new("internal", format!("Monolens has failed, please report this: {info}"));
        log::error!("{}", failure.text);
        PANIC.set(Some(failure.clone()));
        for reject in PENDING.take().into_values() {
            // Rejecting a promise does not throw.
            let _ = reject.call1(&JsValue::UNDEFINED, &failure.clone().into());
        }
    }));
}

/// The panic that there was, as an error.
pub(crate) fn check() -> Result<(), Failure> {
    PANIC.with_borrow(|panic| panic.clone().map_or(Ok(()), Err))
}

/// A promise of what a future gives.
pub(crate) fn promise(work: impl Future<Output = Result<JsValue, Failure>> + 'static) -> Promise {
    let mut work = Some(work);
    Promise::new(&mut |resolve: Function, reject: Function| {
        let Some(work) = work.take() else { return };
        let number = NEXT.replace(NEXT.get() + 1);
        PENDING.with_borrow_mut(|pending| pending.insert(number, reject.clone()));
        wasm_bindgen_futures::spawn_local(async move {
            let result = match check() {
                Ok(()) => work.await,
                Err(failure) => Err(failure),
            };
            PENDING.with_borrow_mut(|pending| pending.remove(&number));
            // Settling a promise does not throw.
            let _ = match result {
                Ok(value) => resolve.call1(&JsValue::UNDEFINED, &value),
                Err(failure) => reject.call1(&JsValue::UNDEFINED, &failure.into()),
            };
        });
    })
}
