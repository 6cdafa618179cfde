"""The way in for clients that want Azure's host names: TLS by an authority of our own, and a proxy that maps names."""

KEY = "/local/front"  # what its last user asked for lies sealed under this: a proxy's URL may hold a password
