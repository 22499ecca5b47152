"""TLS towards the broker."""

from __future__ import annotations

import ssl

from vp_mqtt.config.broker import BrokerOptions
from vp_mqtt.errors import UserError


def client_context(options: BrokerOptions) -> ssl.SSLContext:
    """Return a TLS context that verifies the broker and presents our certificate, if we have one.

    Raises:
        UserError: a certificate or key file is not usable.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"--ca-file {options.ca_file}: not a certificate in PEM ({error})") from None
    # Python's default, which an OpenSSL configuration for old devices may lower.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.cert_file is not None:
        try:
            context.load_cert_chain(options.cert_file, options.key_file)
        except (ssl.SSLError, OSError) as error:
            raise UserError(
                f"--cert-file {options.cert_file} and --key-file {options.key_file}: not a pair ({error})"
            ) from None
    return context
