"""The line from what a client wrote to the prompt that is sent to the generator."""
