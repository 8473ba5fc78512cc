"""What the tests of the outside share: a server, clients, crowds of them, and a lab of hosts."""
