#!/bin/sh
# A container has no init system: packages do not start their services.
exit 101
