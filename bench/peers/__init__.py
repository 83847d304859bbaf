"""Other frameworks, doing the same five concerns where their own idioms put them.

What is done there is the floor's: the same dicts, the same limiter, the same events to the same telemetry. So what
is compared is what each framework costs around it. Their messages are made beforehand, of their own types; what a
framework would do on the network before and after is nobody's here.
"""
