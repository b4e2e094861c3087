"""Everything between the computer and the board: images, emulators, the serial port, proofs.

The layers, each of which imports only those after it: cli, proof, device, emulation, image.
"""
