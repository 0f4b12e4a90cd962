"""Giftwrap wraps the parcel before it is shipped.

Listens to   Do on PaymentCaptured; Undo when shipping failed or is undone
Emits        GiftWrapped (done), GiftWrapFailed (failed), GiftUnwrapped (undone), GiftUnwrapStarted
Undoes       by unwrapping; if no wrapping was asked for yet, by a fence
Calls        the wrapper, `wrap` and `unwrap`
"""
