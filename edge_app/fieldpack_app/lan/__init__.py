"""What lets phones of the local network in: a certificate, one-time codes, keys that can be revoked."""
