"""The runtime on Kafka: what Faust's agents and services do with the core."""
