"""What a running system says of itself, for whoever watches it: `hurnet status` and the gateway.

system_reader   asks Kafka, the store and the workers, again and again
system_status   what it finds
running         who is there; worker_pages: what workers say of themselves over HTTP
"""
