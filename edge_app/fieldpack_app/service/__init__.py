"""`fieldpack serve` as a service of systemd."""
