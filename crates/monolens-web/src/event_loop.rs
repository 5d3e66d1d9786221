//! Giving way to the worker's other events.

use futures_channel::oneshot;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::MessageChannel;

/// Goes on when the event loop has had a turn: awaiting alone lets no message in. A message to oneself is not slowed
/// down as timers are.
pub(crate) async fn turn() {
    let Ok(channel) = MessageChannel::new() else { return };
    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    let wake = Closure::<dyn FnMut()>::new(move || {
        if let Some(sender) = sender.take() {
            // The receiver waits below.
            let _ = sender.send(());
        }
    });
    channel.port1().set_onmessage(Some(wake.as_ref().unchecked_ref()));
    if channel.port2().post_message(&wasm_bindgen::JsValue::UNDEFINED).is_ok() {
        // The sender lives in `wake`.
        let _ = receiver.await;
    }
    channel.port1().close();
}
