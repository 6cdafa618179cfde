"""What the commands do: one module per noun, one function per verb."""
