variable "deletion_protection" {
  description = "Whether `terraform destroy` is refused for the pool and the provider."
  type        = bool
  default     = true
}

variable "fleet" {
  description = "Value of the claim `fleet` in the tokens of all workers of this fleet."
  type        = string
  default     = "batch"
}

variable "jwks" {
  description = "Public keys, as `refresher keys jwks` prints them."
  type        = string
}

variable "keys_directory" {
  description = "The keys directory on the refresher's host."
  type        = string
  default     = "/var/lib/refresher/keys"
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}

variable "users" {
  description = "Users, by name."
  type = map(object({
    buckets = optional(set(string), [])
    invokes = optional(string)
    people  = optional(set(string), [])
    signs   = optional(bool, false)
    subject = string
  }))
}
