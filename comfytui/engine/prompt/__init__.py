"""One prompt on the server: sent once, waited for with the socket's hints, concluded over HTTP."""
